"""Values with their Jacobians and Laplacians, and as plain arrays where JAX must see all that they are made of."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from .local_jacobian import LocalJacobian, nothing


class Jet(NamedTuple):
    """A value with its derivatives."""

    value: Inexact[Array, "..."]
    jacobian: LocalJacobian
    laplacian: Inexact[Array, "..."]


Value: TypeAlias = Jet | Array | np.ndarray


def value_of(value: Value) -> Array | np.ndarray:
    """A value without its derivatives."""
    return value.value if isinstance(value, Jet) else value


def size_of(values: Sequence[Value]) -> int:
    """The number of coordinates, where some value depends on them."""
    return next(value.jacobian.size for value in values if isinstance(value, Jet))


def constant(value: Array | np.ndarray, size: int) -> Jet:
    """What does not depend on the coordinates, with derivatives."""
    value = jnp.asarray(value)
    return Jet(value, nothing(value, size), jnp.zeros_like(value))


def broadcast(jet: Jet, shape: tuple[int, ...]) -> Jet:
    """With a larger shape: operations take numbers, and axes of length 1, beside arrays."""
    if jet.value.shape == shape:
        return jet
    return Jet(
        jnp.broadcast_to(jet.value, shape), jet.jacobian.broadcast(shape), jnp.broadcast_to(jet.laplacian, shape)
    )


def flat(values: Sequence[Value]) -> tuple[list[Any], Callable[[Sequence[Any]], list[Value]]]:
    """The arrays that values consist of, and how to put them together again."""
    parts = [(v.value, v.jacobian.entries, v.laplacian) if isinstance(v, Jet) else (v,) for v in values]
    kinds = [(v.jacobian.index, v.jacobian.size) if isinstance(v, Jet) else None for v in values]

    def rebuilt(arrays: Sequence[Any]) -> list[Value]:
        rest = iter(arrays)
        values: list[Value] = []
        for kind in kinds:
            value = next(rest)
            values.append(value if kind is None else Jet(value, LocalJacobian(next(rest), *kind), next(rest)))
        return values

    return [array for part in parts for array in part], rebuilt
