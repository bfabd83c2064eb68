"""NumPy's archives of arrays, read strictly: nothing is unpickled, and nothing reserved that a header only claims.

`numpy.load` reserves what a header claims before it looks for it, and takes the last of two entries of one name.
"""

import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from typing import Any, cast

import numpy as np
from jaxtyping import Shaped

from .read import LARGEST_COMPRESSION, errors_at, open_file, read_bytes

_ENDING = ".npy"
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Archive:
    """The arrays of an open `.npz` file, by name."""

    def __init__(self, file: zipfile.ZipFile):
        self._file = file
        self._entries = {entry.filename.removesuffix(_ENDING): entry for entry in file.infolist()}
        others = [entry.filename for entry in file.infolist() if not entry.filename.endswith(_ENDING)]
        if others or len(self._entries) < len(file.infolist()):
            raise ValueError(f"two arrays have one name, or these are no arrays: {others}")
        if not {entry.compress_type for entry in file.infolist()} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise ValueError("its compression is not one that NumPy writes")
        if any(entry.file_size > LARGEST_COMPRESSION * entry.compress_size for entry in file.infolist()):
            raise ValueError("an entry promises more than it can hold")

    @property
    def names(self) -> list[str]:
        """The names of the arrays, in their order."""
        return list(self._entries)

    def read(
        self, name: str, check: Callable[[tuple[int, ...], np.dtype], Any] = lambda shape, dtype: None
    ) -> Shaped[np.ndarray, "..."]:
        """An array, in the machine's byte order; `check` gets its shape and dtype before it is read, and may raise."""
        entry = self._entries[name]
        with errors_at(f"the array {name!r}"), self._file.open(entry) as opened:
            stream = cast(BufferedIOBase, opened)
            version = np.lib.format.read_magic(stream)
            if version not in _HEADERS:
                raise ValueError(f"its format is version {version} of NumPy's")
            shape, is_fortran, dtype = _HEADERS[version](stream)
            if dtype.hasobject:
                raise ValueError("it holds Python objects, which are not unpickled")
            check(shape, dtype.newbyteorder("="))
            size = math.prod(shape) * dtype.itemsize
            if size != entry.file_size - stream.tell():
                raise ValueError(f"its header promises shape {shape} of {dtype}, which is not what there is")
            # With the last byte of an entry, zipfile compares its checksum.
            array = np.frombuffer(read_bytes(stream, size), dtype).reshape(shape, order="F" if is_fortran else "C")
            return array.astype(dtype.newbyteorder("="), copy=False)


@contextmanager
def open_npz(path: str | os.PathLike[str], content: str) -> Iterator[Archive]:
    """Open a `.npz` file that is to hold something; errors are those of `open_file`."""
    with open_file(path, f"a NumPy .npz archive of {content}") as file:
        yield Archive(zipfile.ZipFile(file))
