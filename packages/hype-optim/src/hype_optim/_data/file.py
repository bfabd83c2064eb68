"""Opening what a caller names, with errors that say what was found instead."""

import os
from pathlib import Path


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
