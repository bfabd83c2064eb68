"""IDX files, the format of MNIST: two zero bytes, a type, a number of dimensions, big-endian lengths, and the entries.

A header may claim anything, so nothing is reserved for what it says. See Y. LeCun, C. Cortes and C. Burges, "The MNIST
database", 1998.
"""

import gzip
import math
import os
import struct
from io import BufferedIOBase

import numpy as np
from jaxtyping import Shaped

from .._file.read import LARGEST_COMPRESSION, open_file, read_bytes

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


def load_idx(path: str | os.PathLike[str]) -> Shaped[np.ndarray, "..."]:
    """Read one IDX file, plain or compressed by gzip (told by its content, not its name).

    Args:
        path: the file.

    Returns:
        A NumPy array of the file's shape and element type, in the machine's byte order.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not an IDX file, or has fewer or more bytes than its header says.
    """
    with open_file(path, "an IDX file") as file:
        compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        length = os.fstat(file.fileno()).st_size
        if not compressed:
            return _read(file, length)
        with gzip.GzipFile(fileobj=file) as stream:
            return _read(stream, LARGEST_COMPRESSION * length)


def _read(stream: BufferedIOBase, largest: int) -> Shaped[np.ndarray, "..."]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise ValueError(f"found only {len(magic)} bytes")
    zeros, code, dimensions = struct.unpack(">HBB", magic)
    if zeros != 0 or code not in _DTYPES or dimensions == 0:
        raise ValueError(
            "it starts with two zero bytes, a type (08, 09, 0b, 0c, 0d or 0e) and a number of dimensions; found the "
            f"bytes {magic.hex(' ')}"
        )
    lengths = stream.read(4 * dimensions)
    if len(lengths) < 4 * dimensions:
        raise ValueError(f"the header promises {dimensions} dimensions, but the file ends inside it")
    shape, dtype = struct.unpack(f">{dimensions}I", lengths), np.dtype(_DTYPES[code])
    size = math.prod(shape) * dtype.itemsize
    promise = f"the header promises {' x '.join(map(str, shape))} entries of {dtype.itemsize} bytes, {size} in all"
    if size > largest:
        raise ValueError(f"{promise}, more than the file can hold")
    content = read_bytes(stream, size)
    if len(content) < size:
        raise ValueError(f"{promise}, but the file is truncated after {len(content)}")
    # Asking for one byte more also makes gzip compare its checksum.
    if stream.read(1):
        raise ValueError(f"{promise}, but more bytes follow")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
