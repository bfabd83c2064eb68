"""The file format of MNIST: two zero bytes, a type, a number of dimensions, big-endian lengths, and the entries.

A header may claim anything, so nothing is reserved or decompressed before the file has been found large enough for what
its header says, and never more than that is read. See Y. LeCun, C. Cortes and C. Burges, "The MNIST database", 1998.
"""

import gzip
import math
import os
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from .._file.read import existing_file, read_bytes

_DTYPES = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_GZIP_MAGIC = b"\x1f\x8b"
_LARGEST_COMPRESSION = 1032  # a DEFLATE stream cannot expand further


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
    path = existing_file(path)
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if not compressed:
                return _read(file, path, largest=path.stat().st_size)
            with gzip.GzipFile(fileobj=file) as stream:
                return _read(stream, path, largest=_LARGEST_COMPRESSION * path.stat().st_size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: the gzip stream is damaged or cut short ({error}).") from error


def _read(stream: BufferedIOBase, path: Path, largest: int) -> Shaped[np.ndarray, "..."]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise ValueError(f"{path}: expected an IDX file, found only {len(magic)} bytes.")
    zeros, code, dimensions = struct.unpack(">HBB", magic)
    if zeros != 0 or code not in _DTYPES or dimensions == 0:
        raise ValueError(
            f"{path}: expected an IDX file, which starts with two zero bytes, a type (08, 09, 0b, 0c, 0d or 0e) and "
            f"a number of dimensions, found the bytes {magic.hex(' ')}."
        )
    lengths = stream.read(4 * dimensions)
    if len(lengths) < 4 * dimensions:
        raise ValueError(f"{path}: the header promises {dimensions} dimensions, but the file ends inside it.")
    shape, dtype = struct.unpack(f">{dimensions}I", lengths), _DTYPES[code]
    size = math.prod(shape) * dtype.itemsize
    promise = (
        f"{path}: the header promises {' x '.join(map(str, shape))} entries of {dtype.itemsize} bytes, {size} in all"
    )
    if size > largest:
        raise ValueError(f"{promise}, more than the file can hold: it is truncated or not an IDX file.")

    content = read_bytes(stream, size)
    if content.size < size:
        raise ValueError(f"{promise}, but the file is truncated after {content.size}.")
    # Asking for one byte more also makes gzip compare its checksum.
    if stream.read(1):
        raise ValueError(f"{promise}, but more bytes follow.")
    return content.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
