"""Results, states and models in files of plain arrays."""

import json
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from .npz import Archive, open_npz

Tree = TypeVar("Tree", bound=PyTree)

_ABOUT = "about"
_FORMAT, _VERSION = "hype", 1


def save(path: str | os.PathLike[str], tree: PyTree) -> None:
    """Write the arrays and numbers of a pytree into one NumPy `.npz` file.

    So a result, the state of a run, a `Params`, a model or a dict of them can be kept, and read again by `load`. Each
    array has the name of its place, such as `layers.0.weight`, so that other programs can read it; an entry `about`
    holds a line of JSON with the version of the format. Functions, texts and settings are not written: `load` takes
    them from a pytree of the same structure. Nothing is pickled.

    The file is complete or not there, also if the process is killed or the machine loses its power while it is
    written: it is written beside and then moved.

    Args:
        path: where to; what is there is replaced.
        tree: any pytree. Arrays of any dtype, keys and Python's numbers are written.

    Raises:
        TypeError: if an array is traced, so that it has no values yet.
        ValueError: if there is nothing to write, two arrays have one name, or an integer has more than 64 bits.
    """
    named, _ = _named_leaves("tree", tree)
    if not named:
        raise ValueError("`tree` must have at least one array to save, got none.")
    arrays = {name: _stored(name, leaf) for name, leaf in named.items()}
    types = {name: _special_type(leaf) for name, leaf in named.items() if _special_type(leaf) is not None}
    about = json.dumps({"format": _FORMAT, "version": _VERSION, "types": types})
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with beside.open("wb") as stream:
            with zipfile.ZipFile(stream, "w") as archive:
                for name, array in ({_ABOUT: np.array(about)} | arrays).items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                        np.lib.format.write_array(entry, array, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], like: Tree) -> Tree:
    """Read a pytree from a file that `save` has written, or from any `.npz` file with such names.

    Args:
        path: the file. Nothing in it is unpickled, and no more is read than `like` has room for.
        like: a pytree of the same structure, or what `equinox.filter_eval_shape` says of one, which computes nothing:
            `eqx.filter_eval_shape(train, model, data, params)` for a result. Its arrays, keys and numbers are replaced.
            Numbers may be missing in a file that another program has written.

    Returns:
        The pytree, bit for bit.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such file, is damaged, is of another version, or its arrays are not those of `like` in
            name, shape and dtype; the message names the place.
    """
    named, rebuild = _named_leaves("like", like)
    with open_npz(path) as archive:
        types = _types(archive)
        found = [name for name in archive.names if name != _ABOUT]
        optional = lambda name: types is None and isinstance(named[name], int | float | complex)
        missing = [name for name in named if name not in found and not optional(name)]
        surplus = [name for name in found if name not in named]
        if missing or surplus:
            raise ValueError(
                f"{path}: it does not hold what `like` is: the arrays {missing} are not there, and {surplus} have no "
                "place in it."
            )
        return rebuild({name: _read(archive, name, named[name], types or {}) for name in named if name in found})


def _types(archive: Archive) -> dict[str, str] | None:
    """Which arrays stand for something that NumPy's format does not know; `None` in a file of another program."""
    if _ABOUT not in archive.names:
        return None
    try:
        content = json.loads(str(archive.read(_ABOUT)))
        kind, version, types = content["format"], content["version"], dict(content["types"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{archive.path}: the entry {_ABOUT!r} is not what `save` writes.") from error
    if kind != _FORMAT or version != _VERSION:
        raise ValueError(f"{archive.path}: expected {_FORMAT} version {_VERSION}, found {kind} {version}.")
    return types


def _read(archive: Archive, name: str, like: Any, types: dict[str, str]) -> Any:
    """The leaf that stands under a name, checked to be like another before its entries are read."""
    shape, dtype = archive.header(name)
    dtype = dtype.newbyteorder("=")
    stored = jax.eval_shape(jax.random.key_data, like) if _is_key(like) else like
    expected_type = _special_type(like)
    if (np.shape(stored), _storage(stored), expected_type) != (shape, dtype, types.get(name)):
        expected = f"{expected_type or _storage(stored)} of shape {np.shape(like)}"
        found = f"{types.get(name, dtype)} of shape {shape}"
        raise ValueError(f"{archive.path}: expected {expected} for {name}, found {found}.")
    array = archive.read(name)
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=_implementation(like))
    array = array.view(_dtype(like))
    if isinstance(like, np.ndarray):
        return array
    if isinstance(like, np.generic):
        return array[()]
    return array.item() if isinstance(like, int | float | complex) else jnp.asarray(array)


def _named_leaves(argument: str, tree: PyTree) -> tuple[dict[str, Any], Callable[[dict[str, Any]], PyTree]]:
    """The leaves that are saved by name, and the function that puts others into their places."""
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    entries = [(jax.tree_util.keystr(path, simple=True, separator=".") or "array", leaf) for path, leaf in paths]
    named = {name: leaf for name, leaf in entries if _is_saved(leaf)}
    names = [name for name, leaf in entries if _is_saved(leaf)]
    if len(named) < len(names) or _ABOUT in named:
        raise ValueError(f"The arrays of `{argument}` must have different names, and none {_ABOUT!r}; got {names}.")
    for name, leaf in named.items():
        if not _is_key(leaf) and not any(jnp.issubdtype(_dtype(leaf), kind) for kind in (jnp.number, jnp.bool_)):
            raise ValueError(f"`{argument}` must hold numbers of at most 64 bits, got {_dtype(leaf)} at {name}.")

    def rebuild(leaves: dict[str, Any]) -> PyTree:
        return jax.tree.unflatten(structure, [leaves.get(name, leaf) for name, leaf in entries])

    return named, rebuild


def _is_saved(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct | int | float | complex)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _implementation(key: Any) -> str:
    """The name of a key's generator; that of a key of which only the shape is known can be seen only in a trace."""
    names: list[str] = []
    jax.eval_shape(lambda key: names.append(str(jax.random.key_impl(key))), key)
    return names[0]


def _special_type(leaf: Any) -> str | None:
    """What a leaf is, if its array in the file does not say it."""
    if _is_key(leaf):
        return f"{_implementation(leaf)} key"
    return None if _storage(leaf) == _dtype(leaf) else str(_dtype(leaf))


def _dtype(leaf: Any) -> np.dtype:
    """The dtype of a leaf, in the machine's byte order."""
    return (np.asarray(leaf).dtype if isinstance(leaf, int | float | complex) else leaf.dtype).newbyteorder("=")


def _storage(leaf: Any) -> np.dtype:
    """The dtype in the file: unsigned integers for what NumPy's format does not know (bfloat16 and shorter floats)."""
    dtype = _dtype(leaf)
    return dtype if np.dtype(dtype.type).isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")


def _stored(name: str, leaf: Any) -> np.ndarray:
    """The array that goes into the file."""
    if isinstance(leaf, Tracer | jax.ShapeDtypeStruct):
        raise TypeError(f"`tree` has no values yet at {name}; save outside of `jit`, `grad` and `vmap`.")
    if _is_key(leaf):
        return np.asarray(jax.random.key_data(leaf))
    return np.asarray(leaf).astype(_dtype(leaf), copy=False).view(_storage(leaf))
