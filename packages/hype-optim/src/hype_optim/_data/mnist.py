"""Data sets of images in the four files in which MNIST, Fashion-MNIST and their like come."""

import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from .dataset import Dataset
from .idx import load_idx

_PARTS = ("train", "t10k")


def load_mnist(directory: str | os.PathLike[str], *, flatten: bool = True) -> tuple[Dataset, Dataset]:
    """Read a data set of images in MNIST's format: MNIST, Fashion-MNIST, KMNIST, ...

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, plain or with the ending `.gz`; Debian's package dataset-fashion-mnist puts them into
    `/usr/share/datasets/fashion-mnist`.

    Args:
        directory: where the files are.
        flatten: whether an image becomes a vector of pixels, row by row, instead of a matrix.

    Returns:
        Training data and test data. `x` holds pixels from 0 to 1 in JAX's default float dtype, `y` integer labels.

    Raises:
        FileNotFoundError: if there is no such directory, or a file is missing in it.
        ValueError: if a file is not what its name says, images and labels differ in number, or
            training and test images in shape.
    """
    directory = Path(directory)
    if not directory.is_dir():
        found = "a file" if directory.exists() else "nothing"
        raise FileNotFoundError(f"{directory}: expected a directory with MNIST-format files, found {found}.")
    # All four are looked for before one is read, which takes a while.
    files = {part: (_find(directory, f"{part}-images", 3), _find(directory, f"{part}-labels", 1)) for part in _PARTS}
    train, test = [_load(images, labels) for images, labels in files.values()]
    if train.x.shape[1:] != test.x.shape[1:]:
        raise ValueError(
            f"{directory}: found training images of shape {train.x.shape[1:]}, "
            f"but test images of shape {test.x.shape[1:]}."
        )
    return (train.flatten(), test.flatten()) if flatten else (train, test)


def _find(directory: Path, stem: str, dimensions: int) -> Path:
    names = [f"{stem}{mark}idx{dimensions}-ubyte{ending}" for ending in ("", ".gz") for mark in ("-", ".")]
    for name in names:
        if (directory / name).exists():
            return directory / name
    raise FileNotFoundError(f"{directory}: expected a file {names[0]} or {names[0]}.gz in it, found neither.")


def _load(images: Path, labels: Path) -> Dataset:
    x, y = _load_bytes(images, 3), _load_bytes(labels, 1)
    if len(x) != len(y):
        raise ValueError(f"{images} has {len(x)} images, but {labels} has {len(y)} labels.")
    return Dataset(jnp.asarray(x, jnp.result_type(float)) / 255, y.astype(np.int32))


def _load_bytes(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    array = load_idx(path)
    if array.ndim != dimensions or array.dtype != np.uint8:
        raise ValueError(
            f"{path}: expected unsigned bytes in {dimensions} dimensions, found {array.dtype} of shape {array.shape}."
        )
    return array
