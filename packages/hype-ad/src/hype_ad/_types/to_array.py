"""Conversion of whatever a user writes for numbers to one JAX array of floats."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..internal.checks import as_array, check_unmasked, host_array
from ..internal.narrowing import check_fits


@runtime_checkable
class HasJaxArray(Protocol):
    """JAX's own protocol for a thing that stands for an array: `D`, `DV`, `DM` and other libraries' wrappers."""

    def __jax_array__(self) -> Array:
        """Gives the array."""
        ...


Number: TypeAlias = bool | int | float | np.number | np.bool_
Plain: TypeAlias = jax.Array | np.ndarray | Number | Sequence[Any]
TensorLike: TypeAlias = HasJaxArray | Plain | Iterable[object]


def to_array(x: TensorLike, name: str = "x") -> Float[Array, "..."]:
    """Gives `x` as a JAX array of floats.

    Numbers and nested sequences of Python numbers take JAX's default float dtype, and so do integer and boolean
    arrays, because only floats can be differentiated. Arrays of floats keep their dtype. The result is differentiable
    in every traced value that `x` holds.

    Args:
        x: a `D`, `DV` or `DM`, a JAX or NumPy array, a number, or a (nested) sequence of these with equal shapes.
        name: what error messages call it.

    Returns:
        An array of the same shape as `x`.

    Raises:
        TypeError: if `x` holds complex numbers or something that is not a number.
        ValueError: if `x` is a nested sequence with ragged shapes, or has a finite number that its dtype in JAX has not
            (single precision without 64-bit mode).
    """
    return _convert(name, x)


def _convert(name: str, x: Any) -> Float[Array, "..."]:
    if isinstance(x, jax.Array):
        return _as_float(name, x)
    if isinstance(x, HasJaxArray):
        return _as_float(name, x.__jax_array__())
    if isinstance(x, bool | int | float):
        check_fits(name, x, jnp.result_type(float))
        return jnp.asarray(x, dtype=jnp.result_type(float))
    if isinstance(x, np.ndarray | np.generic):
        return _from_numpy(name, host_array(name, x))
    if isinstance(x, Iterable) and not isinstance(x, str | bytes | Mapping | AbstractSet):
        check_unmasked(f"`{name}`", x := list(x))
        return _from_sequence(name, x)
    if isinstance(x, complex):
        raise TypeError(f"`{name}` must be real, got the complex number {x}.")
    raise TypeError(
        f"`{name}` must be a number, an array, a `D`, `DV` or `DM`, or a nested sequence of these, "
        f"got {type(x).__name__}: {x!r}."
    )


def _as_float(name: str, array: Array) -> Float[Array, "..."]:
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    if jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == jnp.bool_:
        return array.astype(jnp.result_type(float))
    raise TypeError(f"`{name}` must hold real numbers, got an array of dtype {array.dtype}.")


def _from_numpy(name: str, array: np.ndarray) -> Float[Array, "..."]:
    if array.dtype == np.dtype(object):
        return _convert(name, array.tolist())
    if np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_:
        return as_array(array, jnp.result_type(float))
    # bfloat16 and its like are not NumPy floats, so JAX is the one to ask.
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"`{name}` must hold real numbers, got an array of dtype {array.dtype}.")
    check_fits(name, array)
    return as_array(array)


def _from_sequence(name: str, items: list[Any]) -> Float[Array, "..."]:
    if not _is_jax_somewhere(items):
        # One conversion of plain numbers, however many: stacking them one by one would be an operation each.
        try:
            array = np.asarray(items, dtype=None if items else jnp.result_type(float))
        except ValueError as error:
            raise ValueError(f"`{name}` must have rows of equal lengths, got ragged ones: {error}") from error
        if array.dtype != np.dtype(object):
            return _from_numpy(name, array)
    arrays = [_convert(name, item) for item in items]
    dtypes = {array.dtype for array, item in zip(arrays, items, strict=True) if _is_jax_somewhere(item)}
    if len(dtypes) == 1:
        # Beside arrays a Python number takes their dtype, as it does in an operation.
        (dtype,) = dtypes
        pairs = zip(arrays, items, strict=True)
        arrays = [array if _is_jax_somewhere(item) else array.astype(dtype) for array, item in pairs]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ValueError(f"`{name}` must have elements of equal shapes, got {', '.join(map(str, shapes))}.")
    return jnp.stack(arrays)


def _is_jax_somewhere(item: Any) -> bool:
    """Whether JAX arrays (perhaps traced ones) are inside, which NumPy must not be asked to convert."""
    if type(item) in (float, int, bool):  # only for speed: asking for a protocol takes microseconds
        return False
    if isinstance(item, list | tuple):
        return any(map(_is_jax_somewhere, item))
    return isinstance(item, jax.Array | HasJaxArray)
