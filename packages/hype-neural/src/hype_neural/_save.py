"""Models in files of plain arrays."""

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

Model = TypeVar("Model", bound=PyTree)

_ABOUT = "about"
_FORMAT = {"format": "hype-neural", "version": 1}


def save(path: str | os.PathLike[str], model: PyTree) -> None:
    """Write the arrays of a model into a NumPy `.npz` file.

    Each array has the name of its place, such as `layers.0.weight`, so that other programs can read it; an entry
    `about` holds a line of JSON with the version of the format. Functions and settings are not written: `load` takes
    them from a model of the same structure. The file is complete or not there: it is written beside and then moved.

    Args:
        path: where to; what is there is replaced.
        model: a layer or any other pytree.

    Raises:
        ValueError: if there is no array in `model`, or two have one name.
    """
    named, _ = _named_arrays(model)
    if not named:
        raise ValueError("`model` must have at least one array to save, got none.")
    about = _FORMAT | {"dtypes": {name: str(leaf.dtype) for name, leaf in named.items()}}
    arrays = {name: _storable(np.asarray(leaf)) for name, leaf in named.items()}
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, **{_ABOUT: np.array(json.dumps(about))}, **arrays)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], like: Model) -> Model:
    """Read the arrays of a model from a file that `save` has written, or from any `.npz` file with such names.

    Args:
        path: the file. Nothing in it is unpickled.
        like: a model of the same structure, or what `equinox.filter_eval_shape` says of one; its arrays are replaced.

    Returns:
        The model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such file, is of another version, or its arrays are not those of `like` in name, shape
            and dtype.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: expected a NumPy .npz archive, found another kind of file.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: the archive is damaged, or holds what is no array ({error}).") from error

    dtypes = _dtypes(path, arrays.pop(_ABOUT, None))
    named, rebuild = _named_arrays(like)
    missing, surplus = [n for n in named if n not in arrays], [n for n in arrays if n not in named]
    if missing or surplus:
        raise ValueError(f"{path}: the model's arrays {missing} are not there, and {surplus} have no place in it.")
    restored = {}
    for name, leaf in named.items():
        array = arrays[name].view(jnp.dtype(dtypes[name])) if name in dtypes else arrays[name]
        if array.shape != leaf.shape or array.dtype != leaf.dtype:
            raise ValueError(
                f"{path}: expected {leaf.dtype} of shape {leaf.shape} for {name}, found {array.dtype} of {array.shape}."
            )
        restored[name] = jnp.asarray(array)
    return rebuild(restored)


def _dtypes(path: Path, about: np.ndarray | None) -> dict[str, str]:
    if about is None:
        return {}
    try:
        content = json.loads(str(about))
        kind, version, dtypes = content["format"], content["version"], content["dtypes"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: the entry {_ABOUT!r} is not what `save` writes.") from error
    if kind != _FORMAT["format"] or version != _FORMAT["version"]:
        raise ValueError(f"{path}: expected {_FORMAT['format']} version {_FORMAT['version']}, found {kind} {version}.")
    return dtypes


def _named_arrays(model: PyTree) -> tuple[dict[str, Any], Any]:
    """The arrays by name, and the function that puts others into their places."""
    paths, structure = jax.tree_util.tree_flatten_with_path(model)
    entries = [
        (
            jax.tree_util.keystr(path, simple=True, separator=".") or "array",
            isinstance(leaf, jax.Array | np.ndarray | jax.ShapeDtypeStruct),
            leaf,
        )
        for path, leaf in paths
    ]
    taken = [name for name, array, _ in entries if array]
    if len(set(taken)) < len(taken) or _ABOUT in taken:
        raise ValueError(f"The arrays of `model` must have different names, and none {_ABOUT!r}; got {taken}.")

    def rebuild(arrays: dict[str, Any]) -> PyTree:
        return jax.tree.unflatten(structure, [arrays[name] if array else leaf for name, array, leaf in entries])

    return {name: leaf for name, array, leaf in entries if array}, rebuild


def _storable(array: np.ndarray) -> np.ndarray:
    """The array, as unsigned integers if NumPy's format does not know its dtype (bfloat16 and shorter floats)."""
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")
