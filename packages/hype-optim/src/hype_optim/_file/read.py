"""Reading files strictly: errors that name the file and the place, and no more memory than the file fills."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from pathlib import Path

LARGEST_COMPRESSION = 1032
"""How many bytes one byte of a DEFLATE stream can stand for at most."""

_CHUNK = 1 << 20


@contextmanager
def open_file(path: str | os.PathLike[str], kind: str) -> Iterator[BufferedReader]:
    """Open a file that is to be of some kind; what is raised while it is read becomes a `ValueError` that names it."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file.")
    if not path.is_file():
        raise ValueError(f"{path}: expected a file, found {'a directory' if path.is_dir() else 'no regular file'}.")
    # What keeps it from being opened, such as its permissions, is told by an error of its own.
    with path.open("rb") as file, errors_at(f"{path}: cannot be read as {kind}"):
        yield file


@contextmanager
def errors_at(place: str) -> Iterator[None]:
    """Make every error a `ValueError` that says where it came up.

    A damaged file makes zipfile, zlib, Pillow and NumPy's parser of headers raise errors of a dozen types.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(f"{place}: {error}") from error


def read_bytes(stream: BufferedIOBase, size: int) -> bytearray:
    """The next `size` bytes of a stream, or those that are left: nothing is reserved for what a header only claims."""
    content = bytearray()
    while len(content) < size and (chunk := stream.read(min(_CHUNK, size - len(content)))):
        content += chunk
    return content
