"""NumPy's archives of arrays, read strictly.

A file may claim anything, so an array's header is read first, and nothing is reserved or decompressed before the file
has been found large enough for what it says. Nothing is unpickled.
"""

import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Shaped

from .read import existing_file, read_bytes

_ENDING = ".npy"
_LARGEST_COMPRESSION = 1032  # a DEFLATE stream cannot expand further
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGE = (
    OSError,
    EOFError,
    MemoryError,
    OverflowError,
    RecursionError,
    RuntimeError,  # zipfile's answer to encryption, and to compressions that it does not know
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class Archive:
    """An open `.npz` file."""

    def __init__(self, path: Path, file: zipfile.ZipFile):
        self.path = path
        self._file = file
        self._entries = {entry.filename.removesuffix(_ENDING): entry for entry in file.infolist()}
        others = [entry.filename for entry in file.infolist() if not entry.filename.endswith(_ENDING)]
        if others or len(self._entries) < len(file.infolist()):
            raise ValueError(f"two arrays have one name, or these are no arrays: {others}")

    @property
    def names(self) -> list[str]:
        """The names of the arrays, in their order."""
        return list(self._entries)

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """The shape and the dtype of an array, which is not read.

        Raises:
            ValueError: if the file is damaged there.
        """
        with _damage(self.path, name), self._open(name) as stream:
            shape, _, dtype = self._header(name, stream)
        return shape, dtype

    def read(self, name: str) -> Shaped[np.ndarray, "..."]:
        """An array, in the machine's byte order.

        Raises:
            ValueError: if the file is damaged there.
        """
        with _damage(self.path, name), self._open(name) as stream:
            shape, is_fortran, dtype = self._header(name, stream)
            size = math.prod(shape) * dtype.itemsize
            content = read_bytes(stream, size)
            # Asking for one byte more also makes zipfile compare its checksum.
            if content.size < size or stream.read(1):
                raise ValueError(f"its header promises {size} bytes, which is not what there is")
        array = content.view(dtype) if dtype.itemsize else np.empty(math.prod(shape), dtype)
        array = array.reshape(shape[::-1]).T if is_fortran else array.reshape(shape)
        return array.astype(dtype.newbyteorder("="), copy=False)

    def _open(self, name: str) -> BufferedIOBase:
        return cast(BufferedIOBase, self._file.open(self._entries[name]))

    def _header(self, name: str, stream: BufferedIOBase) -> tuple[tuple[int, ...], bool, np.dtype]:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"its format is version {version} of NumPy's")
        shape, is_fortran, dtype = _HEADERS[version](stream)
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which are not unpickled")
        entry = self._entries[name]
        if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize > entry.file_size:
            raise ValueError(f"its header promises shape {shape} of {dtype}, more than the file can hold")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("its compression is not one that NumPy writes")
        if entry.file_size > _LARGEST_COMPRESSION * self.path.stat().st_size:
            raise ValueError(f"the archive promises {entry.file_size} bytes, more than it can hold")
        return shape, is_fortran, dtype


@contextmanager
def open_npz(path: str | os.PathLike[str]) -> Iterator[Archive]:
    """Open a `.npz` file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is something else.
    """
    path = existing_file(path)
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: expected a NumPy .npz archive, found another kind of file, or a truncated one.")
    with path.open("rb") as stream:
        with _damage(path):
            archive = Archive(path, zipfile.ZipFile(stream))
        yield archive


@contextmanager
def _damage(path: Path, name: str | None = None) -> Iterator[None]:
    """Say of every error where in which file it came up."""
    try:
        yield
    except _DAMAGE as error:
        place = "the archive" if name is None else f"the array {name!r}"
        raise ValueError(f"{path}: {place} is damaged, or nothing that can be read here ({error}).") from error
