"""Backtracking along the way that a constraint bends: the length of a projected or proximal step."""

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.tree import (
    add,
    all_equal,
    dot,
    is_shorter,
    norm,
    quotient,
    scale,
    squared_norm,
    subtract,
    where,
    zeros_like,
)
from hype_ad.internal.while_loop import bounded_while_loop
from jaxtyping import Array, Bool, Float, PyTree

from ..._objective import Iterate
from .line import Found


class _Trial(eqx.Module):
    """A length, the objective with the penalty there, whether that is enough, and whether anything is better there."""

    length: Float[Array, ""]
    value: Float[Array, ""]
    enough: Bool[Array, ""]
    better: Bool[Array, ""]


def search_projected(
    iterate: Iterate,
    direction: PyTree,
    rate: Float[Array, ""] | None,
    last: Float[Array, ""],
    shrink: Float[Array, ""],
    max_trials: int,
) -> Found:
    r"""The first of the lengths $a, a r, a r^2, \dots$ whose projected step decreases the objective enough.

    With $x = \operatorname{prox}_{a h}(w + a p)$ and $s = x - w$ enough is what a parabola would do, $f(x) \le f(w) + s
    \cdot \nabla f(w) + \|s\|^2 / 2 a$ (Beck & Teboulle 2009, section 4), or where the difference of values is rounding,
    the same of the gradients, $s \cdot (\nabla f(x) - \nabla f(w)) \le \|s\|^2 / a$. The first length is `rate`; if
    that is `None`, `last / shrink` for the `last` length, which is what is remembered, and at first that of a step of
    length 1.
    """
    f, w, constraint = iterate.objective, iterate.w, iterate.constraint
    before, dtype = constraint.penalized(iterate.value, w), iterate.value.dtype
    rounding = 10 * jnp.finfo(dtype).eps * jnp.abs(iterate.value)
    point = lambda length: constraint.proximal(add(w, scale(length, direction)), length)

    def attempt(length: Float[Array, ""]) -> _Trial:
        x = point(length)
        step = subtract(x, w)
        value, gradient = f.value_and_grad(x)
        square = squared_norm(step).astype(dtype) / length
        bound = iterate.value + dot(iterate.gradient, step).astype(dtype) + square / 2
        alike = dot(subtract(gradient, iterate.gradient), step).astype(dtype) <= square
        enough = (value <= bound) | ((value <= bound + rounding) & alike)
        total = constraint.penalized(value, x)
        shorter = is_shorter(constraint.residual(x, gradient), constraint.residual(w, iterate.gradient))
        return _Trial(length, total, enough & jnp.isfinite(value), (total < before) | shorter)

    def advance(trial: _Trial) -> _Trial:
        return attempt(shrink.astype(dtype) * trial.length)

    if rate is None:
        size = norm(direction).astype(dtype)
        unit = jnp.where(size > 0, quotient(jnp.ones_like(size), size), 1)
        rate = jnp.where(last > 0, last.astype(dtype) / shrink.astype(dtype), unit)
    trial = bounded_while_loop(lambda trial: ~trial.enough, advance, attempt(rate.astype(dtype)), max_trials - 1)
    step = subtract(point(trial.length), w)
    improved = trial.enough & trial.better & ~all_equal(add(w, step), w)
    step = where(improved, step, zeros_like(step))
    return Found(step, trial.length, trial.value, iterate.gradient, improved)
