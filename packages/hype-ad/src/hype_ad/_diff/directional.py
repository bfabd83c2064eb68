r"""Derivatives of any order along chosen directions, exact: contractions of Taylor series along lines.

The derivative of order k along one direction v is that of $t \mapsto f(x + t v)$. One that mixes directions is a sum of
such derivatives along combinations of them, by

$$ \prod_{i=1}^{m} s_i^{a_i} = \frac{1}{k!} \sum_{\nu_1=0}^{a_1} \cdots \sum_{\nu_m=0}^{a_m}
(-1)^{\sum_i \nu_i} \prod_{i=1}^{m} \binom{a_i}{\nu_i} \Big( \sum_{i=1}^{m} h_i s_i \Big)^k, \qquad
k = \sum_i a_i, \quad h_i = \frac{a_i}{2} - \nu_i $$

(Kan 2008, "From moments of sum to moments of product", Lemma 1), which holds for derivatives $s_i = v_i \cdot \nabla$
as for numbers. Each term is there twice, with the opposite sign of h.
"""

import itertools
import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..internal import tree
from ..internal.checks import integer
from .checks import check_floats, float_value, tangent
from .directions import in_batches
from .forms import Function, giving, without_value
from .univariate import derivatives


def diffnv(n: SupportsIndex | Sequence[SupportsIndex], f: Function) -> Function:
    r"""Derivative of order n along directions, $(v_1 \cdot \nabla)^{n_1} \cdots (v_m \cdot \nabla)^{n_m} f(x)$, exact.

    Along unit directions it is a partial derivative; of order one along each of several, `diffnv((1, 1, 1), f)(x, u, v,
    w)`, the multilinear form $d^3 f[u, v, w]$; sums of them are all linear differential operators. The Taylor
    series of `f` along a line costs about n²/2 evaluations of `f`; `(n_1 + 1) ⋯ (n_m + 1) / 2` lines are needed where
    there are several directions, whatever the number of coordinates.

    Args:
        n: order, at least 0; or one for each of several directions.
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to any pytree of floats.

    Returns:
        A function of `x` and as many directions of its shape as there are orders, that gives the derivative in the
        structure and types of f(x).

    Raises:
        TypeError: if an order is not an integer, or if `x` or f(x) is not made of real floats.
        ValueError: if an order is negative, if there are no orders, if there are not as many directions as orders, or
            if a direction does not have the shape of `x`.
    """
    return without_value(value_and_diffnv(n, f))


@giving(diffnv, "value", "directional derivative of order n")
def value_and_diffnv(n: SupportsIndex | Sequence[SupportsIndex], f: Function) -> Function:
    orders = checked_orders(n)

    def value_and_derivative(x: PyTree, *directions: PyTree) -> tuple[Any, Any]:
        check_floats("x", x)
        check_count(orders, directions)
        tangents = [tangent("v", v, "x", x) for v in directions]
        if len(tangents) == 1:
            along = along_line(sum(orders), f, x, tangents[0])
            return along[0], along[-1]
        steps, weights = combinations(orders)

        def push(step: Float[Array, " directions"]) -> tuple[None, Any]:
            mix = lambda *leaves: reduce(jnp.add, [s.astype(a.dtype) * a for s, a in zip(step, leaves, strict=True)])
            along = along_line(sum(orders), f, x, jax.tree.map(mix, *tangents))
            return None, (along[0], along[-1])

        _, (values, highest) = in_batches(push, jnp.asarray(steps))
        total = lambda part: jnp.tensordot(jnp.asarray(weights, part.dtype), part, 1)
        return jax.tree.map(lambda part: part[0], values), jax.tree.map(total, highest)

    return value_and_derivative


def along_line(n: int, f: Function, x: PyTree, v: PyTree) -> tuple[Any, ...]:
    r"""$f(x + t v)$ and its derivatives in t up to order n, at t = 0."""
    x = jax.tree.map(jnp.asarray, x)
    at = lambda t: float_value(f(jax.tree.map(lambda a, b: a + t.astype(a.dtype) * b, x, v)))
    return derivatives(n, at, jnp.zeros((), tree.float_dtype(x)))


def checked_orders(n: SupportsIndex | Sequence[SupportsIndex]) -> tuple[int, ...]:
    """The order along each direction."""
    orders = tuple(integer("n", order, 0) for order in (n if isinstance(n, Sequence) else (n,)))
    if not orders:
        raise ValueError("`n` must have an order for each direction, got none.")
    return orders


def check_count(orders: Sequence[int], directions: Sequence[Any]) -> None:
    """Raises a ValueError unless there is a direction for each order."""
    if len(directions) != len(orders):
        raise ValueError(f"There must be one direction for each order in `n`, {len(orders)}, got {len(directions)}.")


def combinations(orders: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The combinations of directions, one in a row, and the weights of the derivatives along them."""
    steps, weights = [], []
    for chosen in itertools.product(*(range(order + 1) for order in orders)):
        step = [order / 2 - c for order, c in zip(orders, chosen, strict=True)]
        if step < [-h for h in step]:
            continue  # its opposite is there, and counts twice
        weight = (-1) ** sum(chosen) * math.prod(map(math.comb, orders, chosen)) / math.factorial(sum(orders))
        steps.append(step)
        weights.append(weight * (2 if any(step) else 1))
    return np.array(steps), np.array(weights)
