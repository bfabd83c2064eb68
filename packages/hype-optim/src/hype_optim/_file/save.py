"""Saving pytrees, such as results, states and models, to files of plain arrays, and loading them."""

import json
import os
import zipfile
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import as_array, known
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from .npz import Archive, open_npz
from .read import errors_at
from .write import replace_file

Tree = TypeVar("Tree", bound=PyTree)

_ABOUT = "about"
_FORMAT, _VERSION = "hype", 1
_KEY = " key"


def save(path: str | os.PathLike[str], tree: PyTree) -> None:
    """Write the arrays and numbers of a pytree into one NumPy `.npz` file.

    So a result, the state of a run, a `Params`, a model or a dict of them can be kept, and read again by `load`. Each
    array has the name of its place, such as `layers.0.weight`, so that other programs can read it; an entry `about`
    holds a line of JSON with the version of the format. Functions, texts and settings, among them all that is `True` or
    `False`, such as whether dropout is in inference mode, are not written: `load` takes them from a pytree of the same
    structure. Nothing is pickled.

    The file is complete or not there, also if the process is killed or the machine loses its power while it is
    written. What is unfinished has no name on Linux; elsewhere a killed process may leave a file `.NAME.*.unfinished`.

    A tree with arrays over several processes (`jax.distributed`) is saved by all of them together: the first one
    writes, and none goes on before that is done. Each array must be on every process as a whole. So it can be read
    again by any number of processes.

    Args:
        path: where to; what is there is replaced and lends its permissions. Of a link it is what it points to.
        tree: any pytree. Arrays of any dtype, keys and Python's numbers are written.

    Raises:
        TypeError: if an array is traced, so that it has no values yet.
        ValueError: if there is nothing to write, two arrays have one name, an integer has more than 64 bits, or parts
            of an array are in other processes alone.
    """
    named = _named_leaves("tree", tree)
    if not named:
        raise ValueError("`tree` must have at least one array to save, got none.")
    arrays = {name: _stored(name, leaf) for name, leaf in named.items()}
    types = {name: form.type for name, form in zip(named, map(_form, named.values()), strict=True) if form.type}
    about = np.array(json.dumps({"format": _FORMAT, "version": _VERSION, "types": types}))
    is_shared = any(isinstance(leaf, jax.Array) and not leaf.is_fully_addressable for leaf in named.values())
    if not is_shared or jax.process_index() == 0:
        with replace_file(path) as stream, zipfile.ZipFile(stream, "w") as archive:
            for name, array in {_ABOUT: about, **arrays}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
    if is_shared:
        multihost_utils.sync_global_devices(f"hype_optim.save {os.fspath(path)}")


def load(path: str | os.PathLike[str], like: Tree) -> Tree:
    """Read a pytree from a file that `save` has written, or from any `.npz` file with such names.

    Args:
        path: the file. Nothing in it is unpickled, and no more is read than `like` has room for.
        like: a pytree of the same structure, or what `equinox.filter_eval_shape` says of one, which computes nothing:
            `eqx.filter_eval_shape(train, model, data, params)` for a result. Its arrays, keys and numbers are replaced,
            all else stays: functions, texts, `True` and `False`. Numbers may be missing in a file that another program
            has written.

    Returns:
        The pytree, bit for bit.

    Raises:
        FileNotFoundError: if there is no such file.
        PermissionError: if it may not be read.
        ValueError: if it is no such file, is damaged, is of another version, or its arrays are not those of `like` in
            name, shape and dtype; the message names the place.
    """
    named = _named_leaves("like", like)
    with open_npz(path, "the arrays in `like`") as archive:
        types = _types(archive)
        found = [name for name in archive.names if name != _ABOUT]
        optional = lambda name: types is None and isinstance(named[name], int | float | complex)
        missing = [name for name in named if name not in found and not optional(name)]
        unexpected = [name for name in found if name not in named]
        if missing or unexpected:
            raise ValueError(f"missing arrays: {missing or 'none'}; unexpected arrays: {unexpected or 'none'}")
        read = {name: _read(archive, name, leaf, types or {}) for name, leaf in named.items() if name in found}
    replace = lambda path, leaf: read.get(_name(path), leaf) if _is_saved(leaf) else leaf
    return jax.tree_util.tree_map_with_path(replace, like)


def _types(archive: Archive) -> dict[str, str] | None:
    """Which arrays stand for something that NumPy's format does not know; `None` in a file of another program."""
    if _ABOUT not in archive.names:
        return None
    with errors_at(f"the entry {_ABOUT!r} is not what `save` writes"):
        content = json.loads(str(archive.read(_ABOUT)))
        if (content["format"], content["version"]) != (_FORMAT, _VERSION):
            found = f"{content['format']} {content['version']}"
            raise ValueError(f"expected {_FORMAT} version {_VERSION}, found {found}")
        return dict(content["types"])


def _read(archive: Archive, name: str, like: Any, types: dict[str, str]) -> Any:
    """The leaf that stands under a name, checked to be like another before its entries are read."""
    expected = _form(like)

    def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
        found = _Form(shape, dtype, types.get(name))
        if found != expected:
            raise ValueError(f"expected {expected}, found {found}")

    array = archive.read(name, check)
    if _is_key(like):
        return jax.random.wrap_key_data(as_array(array), impl=str(expected.type).removesuffix(_KEY))
    array = array.view(_dtype(like))
    if isinstance(like, np.ndarray):
        return array
    if isinstance(like, np.generic):
        return array[()]
    return array.item() if isinstance(like, int | float | complex) else as_array(array)


def _named_leaves(argument: str, tree: PyTree) -> dict[str, Any]:
    """The leaves that are saved, by the names of their places."""
    entries = [(_name(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if _is_saved(leaf)]
    named = dict(entries)
    if len(named) < len(entries) or _ABOUT in named:
        names = [name for name, _ in entries]
        raise ValueError(f"The arrays of `{argument}` must have different names, and none {_ABOUT!r}; got {names}.")
    for name, leaf in named.items():
        if not _is_key(leaf) and not any(jnp.issubdtype(_dtype(leaf), kind) for kind in (jnp.number, jnp.bool_)):
            raise ValueError(f"`{argument}` must hold numbers of at most 64 bits, got {_dtype(leaf)} at {name}.")
    return named


def _name(path: jax.tree_util.KeyPath) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".") or "array"


def _is_saved(leaf: Any) -> bool:
    # A truth value is a setting: what was trained for evaluation last must not stay in that mode.
    return not isinstance(leaf, bool) and isinstance(
        leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct | int | float | complex
    )


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


class _Form(NamedTuple):
    """How a leaf stands in a file: the shape and dtype of its array there, and its type, if they do not say it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    type: str | None

    def __str__(self) -> str:
        return f"{self.type or self.dtype} of shape {self.shape}"


def _form(leaf: Any) -> _Form:
    if _is_key(leaf):
        # The generator of a key of which only the shape is known can be seen only in a trace.
        generators: list[Any] = []
        data = jax.eval_shape(lambda k: generators.append(jax.random.key_impl(k)) or jax.random.key_data(k), leaf)
        return _Form(data.shape, np.dtype(data.dtype), f"{generators[0]}{_KEY}")
    dtype = _dtype(leaf)
    if np.dtype(dtype.type).isbuiltin == 1:
        return _Form(np.shape(leaf), dtype, None)
    # NumPy's format does not know bfloat16 and shorter floats: their bits are written as unsigned integers.
    return _Form(np.shape(leaf), np.dtype(f"u{dtype.itemsize}"), str(dtype))


def _dtype(leaf: Any) -> np.dtype:
    """The dtype of a leaf, in the machine's byte order."""
    return (np.asarray(leaf).dtype if isinstance(leaf, int | float | complex) else leaf.dtype).newbyteorder("=")


def _stored(name: str, leaf: Any) -> np.ndarray:
    """The array that goes into the file."""
    if isinstance(leaf, jax.ShapeDtypeStruct) or not known(leaf):
        raise TypeError(f"`tree` has no values yet at {name}; save outside of `jit`, `grad` and `vmap`.")
    if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        raise ValueError(
            f"`tree` must have whole arrays on each process, got one that is spread over processes at {name}. Gather "
            "it, `jax.experimental.multihost_utils.process_allgather(tree, tiled=True)`, or write it with Orbax."
        )
    if _is_key(leaf):
        return np.asarray(jax.random.key_data(leaf))
    return np.asarray(leaf).astype(_dtype(leaf), copy=False).view(_form(leaf).dtype)
