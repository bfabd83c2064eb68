"""Data sets from NumPy's archives of arrays."""

import os

from .._file.npz import open_npz
from .dataset import Dataset


def load_npz(path: str | os.PathLike[str], *, x: str = "x", y: str = "y") -> Dataset:
    """Read a data set from two arrays of a NumPy `.npz` file. Nothing in it is unpickled.

    Args:
        path: the file, as `numpy.savez(path, x=..., y=...)` writes it.
        x: the name of the array of inputs.
        y: the name of the array of labels or targets.

    Returns:
        The data set, with the arrays' dtypes in JAX (without 64-bit mode those of at most 32 bits).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a file, is damaged, lacks one of the arrays, or they are not of numbers or
            differ in their number of rows, or a number is one that JAX would make another, as in `Dataset`.
    """
    with open_npz(path, "a data set") as archive:
        for name in (x, y):
            if name not in archive.names:
                found = ", ".join(map(repr, archive.names)) or "none"
                raise ValueError(f"expected an array named {name!r}, found {found}")
        return Dataset(archive.read(x), archive.read(y))
