"""Checks of arguments, with one style of message: the argument, what it must be, what it was.

Values that a transformation traces have no value yet, so they pass every check of values.
"""

import math
import operator
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from .narrowing import check_fits

T = TypeVar("T")

_LARGEST = sys.float_info.max


def known(x: Any) -> bool:
    """Whether `x` has a value now, as it has not while `jit`, `grad` or `vmap` trace it.

    To be asked of what the caller gave: what `jax.numpy` makes of a number inside of a `jit` is a tracer.
    """
    return not isinstance(x, Tracer)


def instance(name: str, value: Any, kind: type[T], accepted: str) -> T:
    """`value`, if it is an instance of `kind`, else a TypeError."""
    if not isinstance(value, kind):
        got = f"the class {value.__name__}, which has to be called" if isinstance(value, type) else repr(value)
        raise TypeError(f"`{name}` must be {accepted}, got {got}.")
    return value


def function(name: str, value: T, accepted: str) -> T:
    """`value`, if it can be called, else a TypeError."""
    if not callable(value):
        raise TypeError(f"`{name}` must be {accepted}, got {value!r}.")
    return value


def boolean(name: str, value: Any) -> bool:
    """`value`, if it is `True` or `False`, else a TypeError."""
    return instance(name, value, bool, "True or False")


def integer(name: str, value: Any, lowest: int | None = None) -> int:
    """`value` as a Python integer, of at least `lowest`; NumPy's integers and known JAX scalars are integers too.

    A TypeError if `value` is not an integer or is traced, a ValueError if it is below `lowest`.
    """
    if isinstance(value, bool | np.bool_ | Tracer):
        raise TypeError(f"`{name}` must be an integer known before compiling, got {value!r}.")
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, got {value!r}.") from None
    if lowest is not None and value < lowest:
        raise ValueError(f"`{name}` must be at least {lowest}, got {value}.")
    return value


def static_number(
    name: str, value: Any, *, above: float = -math.inf, at_least: float = -math.inf, below: float = math.inf
) -> float:
    """`value` as a Python float: a setting that is part of the program and has no derivative.

    A TypeError if `value` is not a number or is traced, a ValueError if it is NaN, infinite or out of its range.
    """
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
        raise TypeError(f"`{name}` must be a number known before compiling, got {value!r}.")
    if not (above < value < below and at_least <= value and abs(value) <= _LARGEST):
        limits = {"above": above, "at least": at_least, "below": below}
        ends = [f"{word} {limit:g}" for word, limit in limits.items() if math.isfinite(limit)]
        range_ = " and ".join(ends) if ends and abs(value) <= _LARGEST else "finite"
        raise ValueError(f"`{name}` must be {range_}, got {value}.")
    return float(value)


def is_real(x: Any) -> bool:
    """Whether `x` is a real number or an array of them; `True` and `False` are none."""
    if isinstance(x, bool) or not isinstance(x, int | float | np.generic | np.ndarray | jax.Array):
        return False
    dtype = jnp.result_type(x) if isinstance(x, int | float) else x.dtype
    return bool(jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating))


def float_dtype_of(x: Any) -> Any:
    """The float dtype that JAX has for `x`: its own, or the default one if it holds no floats or is a Python number."""
    dtype = jnp.result_type(x) if isinstance(x, jax.Array | np.ndarray | np.generic) else jnp.result_type(float)
    return dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)


def host_array(name: str, x: Any) -> np.ndarray:
    """`x` as a plain NumPy array in the byte order of this machine: files of some formats have the other one.

    A ValueError if it has masked entries.
    """
    check_unmasked(f"`{name}`", x)
    array = np.asarray(x)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def check_unmasked(what: str, x: Any) -> None:
    """Raises a ValueError if `x`, or an item of a list, has masked entries: JAX takes the numbers below the mask."""
    parts = [part for part in (x if isinstance(x, list | tuple) else [x]) if isinstance(part, np.ma.MaskedArray)]
    masked = sum(np.ma.count_masked(part) for part in parts)
    if masked:
        raise ValueError(f"{what} must have no masked entries, got {masked} of them.")


def as_array(x: Any, dtype: Any = None) -> Array:
    """`x` as a JAX array with memory of its own, as `jnp.asarray(x, dtype)` need not have.

    What the caller later writes into a NumPy array must not be seen by a setting that was made of it. A ValueError if
    `x` has masked entries.
    """
    check_unmasked("An array", x)
    if type(x) is np.ndarray or isinstance(x, np.generic):
        dtype = jnp.result_type(x) if dtype is None else dtype
        return jnp.asarray(np.array(x, dtype), dtype)  # without a dtype JAX would compile a program for each shape
    return jnp.array(x, dtype, copy=not isinstance(x, jax.Array))


def as_float_array(x: Any) -> Float[Array, "..."]:
    """`x` as an array of its own float dtype, or of the default one if it holds no floats or is a Python number."""
    # A stated dtype is a strong one: a weakly typed leaf would recompile when an update makes it strong.
    return as_array(x, float_dtype_of(x))


def float_array(name: str, value: Any, accepted: str = "a real number or an array of them") -> Float[Array, "..."]:
    """`value`, a number, an array or a nested list of real numbers, as a float array; of all else a TypeError."""
    check_unmasked(f"`{name}`", value)
    if isinstance(value, list | tuple):
        try:
            value = np.asarray(value) if all(map(known, jax.tree.leaves(value))) else jnp.asarray(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"`{name}` must be {accepted}, got {value!r}.") from error
    if isinstance(value, np.ndarray):
        value = host_array(name, value)
    if not is_real(value):
        got = f"an array of dtype {value.dtype}" if isinstance(value, np.ndarray | jax.Array) else repr(value)
        raise TypeError(f"`{name}` must be {accepted}, got {got}.")
    check_fits(name, value, float_dtype_of(value))
    return as_float_array(value)


def check_entries(
    name: str, value: Any, accept: Callable[[np.ndarray], Any], accepted: str, finite: bool = True
) -> None:
    """Raises a ValueError that names the first entry of a known array that is not accepted, or not `finite`."""
    if not known(value):
        return
    entries = np.asarray(value)
    wrong = np.argwhere(~((np.isfinite(entries) | (not finite)) & accept(entries)))
    if len(wrong) == 0:
        return
    if entries.ndim == 0:
        raise ValueError(f"`{name}` must be {accepted}, got {entries}.")
    index = tuple(map(int, wrong[0]))
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    raise ValueError(f"`{name}` must be {accepted}, got {entries[index]} at index {index}{more}.")


def check_devices(devices: Any) -> np.ndarray:
    """`devices` as an array; a TypeError if it is no list of devices, a ValueError if empty or not all different."""
    if not isinstance(devices, Sequence) or not all(isinstance(device, jax.Device) for device in devices):
        raise TypeError(f"`devices` must be a list of devices, such as `jax.devices()`, got {devices!r}.")
    if not devices or len(set(devices)) != len(devices):
        raise ValueError(f"`devices` must be one or more different devices, got {devices}.")
    return np.array(devices)


def check_key(name: str, value: Any) -> PRNGKeyArray:
    """`value` as a JAX array, if it is one key, new (`jax.random.key`) or old (`jax.random.PRNGKey`).

    A ValueError if it is missing or an array of several keys, a TypeError if it is something else.
    """
    if value is None:
        raise ValueError(f"`{name}` must be given, such as jax.random.key(0): what is random is drawn from it.")
    if not isinstance(value, jax.Array | np.ndarray):
        raise TypeError(f"`{name}` must be a key such as jax.random.key(0), got {value!r}.")
    new = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    if not new and value.dtype != jnp.uint32:
        raise TypeError(f"`{name}` must be a key such as jax.random.key(0), got an array of dtype {value.dtype}.")
    if value.ndim != (0 if new else 1):
        raise ValueError(f"`{name}` must be one key, got an array of shape {value.shape}; use jax.vmap for several.")
    return as_array(value)
