"""NumPy's archives of arrays."""

import os
import zipfile
import zlib

import numpy as np

from .dataset import Dataset
from .file import existing_file


def load_npz(path: str | os.PathLike[str], *, x: str = "x", y: str = "y") -> Dataset:
    """Read a data set from two arrays of a NumPy `.npz` file. Nothing in it is unpickled.

    Args:
        path: the file, as `numpy.savez(path, x=..., y=...)` writes it.
        x: the name of the array of inputs.
        y: the name of the array of labels or targets.

    Returns:
        The data set, with the arrays' dtypes as far as JAX has them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a file, is damaged, lacks one of the arrays, or they are not of numbers or
            differ in their number of rows.
    """
    path = existing_file(path)
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: expected a NumPy .npz archive, found another kind of file.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in (x, y):
                if name not in archive.files:
                    raise ValueError(
                        f"expected an array named {name!r}, found {', '.join(map(repr, archive.files)) or 'none'}"
                    )
            return Dataset(archive[x], archive[y])
    except (ValueError, TypeError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: {error}") from error
