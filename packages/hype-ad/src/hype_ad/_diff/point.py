"""What a function is differentiated at, along, and what it gives: pytrees of floats, in which a tensor is one leaf."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._types import AbstractTensor, to_array, wrap

Function = Callable[..., Any]


def is_tensor(x: Any) -> bool:
    """Whether `x` is a `D`, `DV` or `DM`."""
    return isinstance(x, AbstractTensor)


def parts(x: PyTree) -> tuple[list[Any], Any]:
    """The arrays and tensors in `x`, and the structure that holds them."""
    return jax.tree.flatten(x, is_leaf=is_tensor)


def labeled(array: Float[Array, "..."], *like: Any) -> Any:
    """A tensor if any of `like` is one and there is a type for the rank, else the array."""
    return wrap(array) if any(map(is_tensor, like)) and array.ndim <= 2 else array


def check_floats(operator: str, name: str, x: PyTree) -> None:
    """Raise unless `x` consists of real floats, at least one of them."""
    leaves = jax.tree_util.tree_flatten_with_path(x)[0]
    if not leaves:
        raise TypeError(f"{operator}: {name} must have floats in it; got {x!r}, which has none.")
    for path, leaf in leaves:
        kind = dtype(leaf)
        if kind is None or not jnp.issubdtype(kind, jnp.floating):
            got = kind.name if kind is not None else f"{leaf!r} of type {type(leaf).__name__}"
            raise TypeError(
                f"{operator}: {name}{jax.tree_util.keystr(path)} must be a real float; got {got}. Write 3.0 for 3, "
                "convert an array with .astype(float), and close over what is not to be differentiated."
            )


def check_scalar(operator: str, name: str, x: PyTree) -> None:
    """Raise unless `x` is one real float."""
    check_floats(operator, name, x)
    leaves = jax.tree.leaves(x)
    if len(leaves) > 1:
        raise ValueError(f"{operator}: {name} must be one number; got {len(leaves)} arrays in {jax.tree.structure(x)}.")
    if shape(leaves[0]):
        raise ValueError(f"{operator}: {name} must be one number, of shape (); got shape {shape(leaves[0])}.")


def float_valued(operator: str, f: Function) -> Function:
    """`f`, whose value must consist of real floats; Python's become arrays."""

    def checked(*args: Any) -> Any:
        value = f(*args)
        check_floats(operator, "f(x)", value)
        return jax.tree.map(jnp.asarray, value)

    return checked


def scalar_valued(operator: str, f: Function) -> Function:
    """`f`, whose value must be one real float; Python's become arrays."""

    def checked(*args: Any) -> Any:
        value = f(*args)
        check_scalar(operator, "f(x)", value)
        return jax.tree.map(jnp.asarray, value)

    return checked


def check_vector(operator: str, name: str, x: PyTree, length: int) -> None:
    """Raise unless `x` is one vector of `length` real floats."""
    check_floats(operator, name, x)
    shapes = list(map(shape, jax.tree.leaves(x)))
    if shapes != [(length,)]:
        got = f"shape {shapes[0]}" if len(shapes) == 1 else f"{len(shapes)} arrays"
        raise ValueError(f"{operator}: {name} must be a vector of {length} numbers; got {got}.")


def check_like(operator: str, name: str, x: PyTree, reference_name: str, reference: PyTree) -> None:
    """Raise unless `x` has the structure and the shapes of `reference`."""
    (leaves, structure), (likes, like_structure) = parts(x), parts(reference)
    if structure != like_structure:
        raise ValueError(
            f"{operator}: {name} must have the structure of {reference_name}, {like_structure}; got {structure}."
        )
    for leaf, like in zip(leaves, likes, strict=True):
        if shape(leaf) != shape(like):
            raise ValueError(
                f"{operator}: {name} must have the shapes of {reference_name}; got {shape(leaf)} for {shape(like)}."
            )


def tangent(operator: str, name: str, v: PyTree, reference_name: str, reference: PyTree) -> PyTree:
    """`v` as a direction in which `reference` can move: its structure, shapes, types and dtypes.

    An array may stand for a tensor, a list of numbers for a vector, and integers for floats.
    """
    if is_tensor(reference) or (isinstance(reference, jax.Array | np.ndarray) and isinstance(v, Sequence)):
        v = to_array(v)
    check_like(operator, name, v, reference_name, reference)
    leaves, structure = jax.tree.flatten(reference)
    directions = [to_array(direction).astype(dtype(leaf)) for direction, leaf in zip(parts(v)[0], leaves, strict=True)]
    return jax.tree.unflatten(structure, directions)


def shape(leaf: Any) -> tuple[int, ...]:
    """Shape of a number, an array or a tensor (which NumPy must not be asked for a traced one)."""
    return leaf.shape if is_tensor(leaf) else np.shape(leaf)


def dtype(leaf: Any) -> np.dtype | None:
    """The dtype that JAX gives a number or an array; of anything else nothing."""
    if isinstance(leaf, jax.Array):
        return leaf.dtype
    if isinstance(leaf, bool | int | float | complex | np.number | np.bool_ | np.ndarray):
        return jnp.asarray(leaf).dtype if isinstance(leaf, np.ndarray | np.generic) else jnp.result_type(leaf)
    return None
