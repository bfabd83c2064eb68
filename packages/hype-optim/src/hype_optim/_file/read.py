"""Opening and reading what a caller names, with errors that say what was found instead."""

import os
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

_CHUNK = 1 << 20


def existing_file(path: str | os.PathLike[str]) -> Path:
    """The path of a file that is there.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if there is something else than a file.
    """
    found = Path(path)
    if not found.exists():
        raise FileNotFoundError(f"{found}: there is no such file.")
    if not found.is_file():
        raise ValueError(f"{found}: expected a file, found {'a directory' if found.is_dir() else 'no regular file'}.")
    return found


def read_bytes(stream: BufferedIOBase, size: int) -> UInt8[np.ndarray, " read"]:
    """The next `size` bytes of a stream, or those that are left, without a second copy of them in memory."""
    content, filled = np.empty(size, np.uint8), 0
    while filled < size:
        chunk = stream.read(min(_CHUNK, size - filled))
        if not chunk:
            break
        content[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    return content[:filled]
