"""Checks of points, directions and values: pytrees of real floats, in which a `D`, `DV` or `DM` is one part."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._types import to_array
from .._types.by_rank import is_tensor


def parts(x: PyTree) -> tuple[list[Any], Any]:
    """The arrays and tensors in `x`, and the structure that holds them."""
    return jax.tree.flatten(x, is_leaf=is_tensor)


def shape(part: Any) -> tuple[int, ...]:
    """Shape of a number, an array or a tensor (which NumPy must not be asked for a traced one)."""
    return part.shape if is_tensor(part) else np.shape(part)


def dtype(leaf: Any) -> np.dtype | None:
    """The dtype that JAX gives a number or an array; None for anything else."""
    if isinstance(leaf, jax.Array):
        return leaf.dtype
    is_number = isinstance(leaf, bool | int | float | complex | np.number | np.bool_ | np.ndarray)
    return jnp.result_type(leaf) if is_number else None


def check_floats(name: str, x: PyTree) -> None:
    """Raises a TypeError unless `x` consists of real floats, at least one of them."""
    leaves = jax.tree_util.tree_flatten_with_path(x)[0]
    if not leaves:
        raise TypeError(f"`{name}` must have floats in it, got {x!r}.")
    for path, leaf in leaves:
        kind = dtype(leaf)
        if kind is None or not jnp.issubdtype(kind, jnp.floating):
            got = kind.name if kind is not None else f"{leaf!r} of type {type(leaf).__name__}"
            raise TypeError(
                f"`{name}{jax.tree_util.keystr(path)}` must be a real float, got {got}. Write 3.0 for 3, "
                "convert an array with .astype(float), and close over what is not to be differentiated."
            )


def check_scalar(name: str, x: PyTree) -> None:
    """Raises unless `x` is one real float: a TypeError for its dtype, a ValueError for its shape."""
    check_floats(name, x)
    leaves = jax.tree.leaves(x)
    if len(leaves) > 1:
        raise ValueError(f"`{name}` must be one number, got {len(leaves)} arrays in {jax.tree.structure(x)}.")
    if shape(leaves[0]):
        raise ValueError(f"`{name}` must be one number, of shape (), got shape {shape(leaves[0])}.")


def check_vector(name: str, x: PyTree, length: int) -> None:
    """Raises unless `x` is one vector of `length` floats: a TypeError for its dtype, a ValueError for its shape."""
    check_floats(name, x)
    shapes = list(map(shape, jax.tree.leaves(x)))
    if shapes != [(length,)]:
        got = f"shape {shapes[0]}" if len(shapes) == 1 else f"{len(shapes)} arrays"
        raise ValueError(f"`{name}` must be a vector of {length} numbers, got {got}.")


def check_like(name: str, x: PyTree, reference_name: str, reference: PyTree) -> None:
    """Raises a ValueError unless `x` has the structure and the shapes of `reference`."""
    (own, structure), (expected, expected_structure) = parts(x), parts(reference)
    if structure != expected_structure:
        raise ValueError(
            f"`{name}` must have the structure of `{reference_name}`, {expected_structure}, got {structure}."
        )
    for part, like in zip(own, expected, strict=True):
        if shape(part) != shape(like):
            raise ValueError(
                f"`{name}` must have the shapes of `{reference_name}`, got {shape(part)} in place of {shape(like)}."
            )


def float_value(value: PyTree) -> PyTree:
    """f(x), which must consist of real floats, with Python's numbers as arrays."""
    check_floats("f(x)", value)
    return jax.tree.map(jnp.asarray, value)


def scalar_value(value: PyTree) -> PyTree:
    """f(x), which must be one real float, with Python's number as an array."""
    check_scalar("f(x)", value)
    return jax.tree.map(jnp.asarray, value)


def value_like(value: PyTree, x: PyTree) -> PyTree:
    """f(x), which must consist of real floats in the structure and the shapes of `x`, as arrays."""
    check_floats("f(x)", value)
    check_like("f(x)", value, "x", x)
    return jax.tree.map(jnp.asarray, value)


def tangent(name: str, v: PyTree, reference_name: str, reference: PyTree) -> PyTree:
    """`v` as a tangent (or cotangent) of `reference`: with its structure, shapes, types and dtypes.

    An array may stand for a tensor, a list of numbers for a vector, and integers for floats. Another structure or other
    shapes raise a ValueError.
    """
    if is_tensor(reference) or (isinstance(reference, jax.Array | np.ndarray) and isinstance(v, Sequence)):
        v = to_array(v, name)
    check_like(name, v, reference_name, reference)
    leaves, structure = jax.tree.flatten(reference)
    tangents = [to_array(part, name).astype(dtype(leaf)) for part, leaf in zip(parts(v)[0], leaves, strict=True)]
    return jax.tree.unflatten(structure, tangents)
