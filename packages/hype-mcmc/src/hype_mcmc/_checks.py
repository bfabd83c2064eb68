"""What a setting may be, in one place. A value that is being traced is let through: it has no value yet."""

import math
from typing import TypeVar

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

T = TypeVar("T")


def is_concrete(x: ArrayLike) -> bool:
    """Whether `x` has a value now, outside of `jit`, `grad` and `vmap`.

    To be asked of what the caller gave: what `jax.numpy` makes of a number inside somebody's `jit` is a tracer.
    """
    return not isinstance(x, jax.core.Tracer)


def float_array(name: str, x: ArrayLike) -> Float[Array, "..."]:
    """`x` as a JAX array of floats; Python and NumPy numbers count as floats.

    Raises:
        TypeError: if `x` is no array or number, or is complex.
    """
    try:
        array = jnp.asarray(x)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be a number or an array of numbers, got {type(x).__name__}.") from error
    if jnp.issubdtype(array.dtype, jnp.complexfloating) or array.dtype == jnp.bool_:
        raise TypeError(f"`{name}` must be real numbers, got dtype {array.dtype}.")
    # A Python float has a weak type, with which a program would be compiled apart.
    dtype = jnp.result_type(float) if jnp.issubdtype(array.dtype, jnp.integer) else array.dtype
    return jax.lax.convert_element_type(array, dtype)


def scalar(name: str, x: ArrayLike) -> Float[Array, ""]:
    """`x` as a float array without axes.

    Raises:
        TypeError: if `x` is no real number.
        ValueError: if `x` has axes.
    """
    array = float_array(name, x)
    if array.ndim != 0:
        raise ValueError(f"`{name}` must be one number, got an array of shape {array.shape}.")
    return array


def instance(name: str, x: T, kind: type, such_as: str) -> T:
    """`x`, if it is of a kind.

    Raises:
        TypeError: if it is not.
    """
    if not isinstance(x, kind):
        raise TypeError(f"`{name}` must be {such_as}, got {type(x).__name__}.")
    return x


def one_key(key: PRNGKeyArray | None) -> PRNGKeyArray:
    """`key`, if it is one key, new (`jax.random.key`) or old (`jax.random.PRNGKey`).

    Raises:
        ValueError: if it is missing, or an array of several keys.
        TypeError: if it is something else.
    """
    if key is None:
        raise ValueError("`key` must be given, such as `jax.random.key(0)`: it is what everything is drawn from.")
    if not isinstance(key, jax.Array | np.ndarray):
        raise TypeError(f"`key` must be a key such as `jax.random.key(0)`, got {key!r}.")
    new = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if not new and key.dtype != jnp.uint32:
        raise TypeError(f"`key` must be a key such as `jax.random.key(0)`, got an array of {key.dtype}.")
    if key.ndim != (0 if new else 1):
        raise ValueError(f"`key` must be one key, got an array of shape {key.shape}: use `jax.vmap` for several.")
    return key


def _values(name: str, x: ArrayLike) -> np.ndarray:
    """`x` as NumPy sees it.

    Raises:
        TypeError: if it is not made of numbers.
    """
    values = np.asarray(x)
    if values.dtype.kind in "OSU":
        raise TypeError(f"`{name}` must be a number or an array of numbers, got {x!r}.")
    return values


def positive(name: str, x: ArrayLike) -> None:
    """Check that all of `x` is finite and above zero.

    Raises:
        ValueError: if some entry is not, and can be seen.
        TypeError: if it is not made of numbers.
    """
    if is_concrete(x):
        values = _values(name, x)
        _raise_where(~(np.isfinite(values) & (values > 0)), values, f"`{name}` must be positive and finite")


def finite(name: str, x: ArrayLike) -> None:
    """Check that all of `x` is finite.

    Raises:
        ValueError: if some entry is not, and can be seen.
    """
    if is_concrete(x):
        values = np.asarray(x)
        _raise_where(~np.isfinite(values), values, f"`{name}` must be finite")


def within(name: str, x: ArrayLike, lowest: float, highest: float) -> None:
    """Check that all of `x` is at least `lowest` and below `highest`.

    Raises:
        ValueError: if some entry is not, and can be seen.
        TypeError: if it is not made of numbers.
    """
    if is_concrete(x):
        values = _values(name, x)
        upper = "" if math.isinf(highest) else f" and below {highest}"
        _raise_where(~((values >= lowest) & (values < highest)), values, f"`{name}` must be at least {lowest}{upper}")


def static_number(name: str, x: float, *, at_least: float, below: float = math.inf) -> float:
    """`x`, a Python number in a range: a setting that no derivative is taken of.

    Raises:
        TypeError: if `x` is not a number, or is being traced.
        ValueError: if it is out of its range.
    """
    if isinstance(x, bool) or not isinstance(x, float | int | np.floating | np.integer):
        raise TypeError(f"`{name}` must be a Python number, got {x!r}.")
    if not at_least <= x < below:
        upper = "" if below == math.inf else f" and below {below}"
        raise ValueError(f"`{name}` must be at least {at_least}{upper}, got {x}.")
    return float(x)


def count(name: str, x: int, *, at_least: int) -> int:
    """`x`, a Python integer of at least `at_least`: it decides the shape of a program, so it cannot be an array.

    Raises:
        TypeError: if `x` is not an integer.
        ValueError: if it is too small.
    """
    if isinstance(x, bool) or not isinstance(x, int | np.integer):
        raise TypeError(f"`{name}` must be an integer, got {x!r}.")
    if x < at_least:
        raise ValueError(f"`{name}` must be at least {at_least}, got {x}.")
    return int(x)


def _raise_where(wrong: ArrayLike, values: np.ndarray, rule: str) -> None:
    if not np.any(wrong):
        return
    if values.ndim == 0:
        raise ValueError(f"{rule}, got {values}.")
    where = np.argwhere(wrong)
    index = tuple(int(i) for i in where[0])
    more = "" if len(where) == 1 else f" and {len(where) - 1} more"
    raise ValueError(f"{rule}, got {values[index]} at index {index}{more}.")
