r"""`fixed_point`: solutions of $a = g(a, b)$, differentiated in $b$ by the implicit function theorem.

Where $a = g(a, b)$ and $I - \partial g / \partial a$ is regular, $da = (I - \partial_a g)^{-1} \partial_b g\, db$. The
loop that found $a$ is therefore never differentiated and nothing of it is kept. The linear equation is solved as $a$
was, by iterating $x \leftarrow \partial_a g\, x + r$ (in reverse mode with the transpose, Christianson 1994, "Reverse
accumulation and attractive fixed points"), which converges as fast, and is accelerated if the loop was. It is declared
to JAX as a linear solve, so that derivatives of derivatives are solves again, in either mode.
"""

from collections.abc import Callable
from typing import Any, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._anderson import Anderson
from ._diff.checks import check_floats, check_like, dtype
from .internal import tree
from .internal.checks import instance, integer
from .internal.extremes import largest


class FixedPoint(eqx.Module):
    """The result of `fixed_point`: the last iterate, and whether it converged."""

    value: PyTree
    """The solution, or the last iterate if there is none: of the structure, shapes and types of `a0`."""
    converged: Bool[Array, ""]
    """Whether `g` changed no number by more than the tolerance, the last time."""
    steps: Int[Array, ""]
    """How many times `g` was applied."""
    change: Float[Array, ""]
    """The largest change of any number by `g`, the last time."""

    def check(self) -> PyTree:
        """The solution, if the iteration converged. Not for compiled code, where that is not known.

        Returns:
            `value`.

        Raises:
            RuntimeError: if the iteration did not converge.
        """
        if not self.converged:
            raise RuntimeError(
                f"`fixed_point` did not converge: the last of {int(self.steps)} steps changed a by "
                f"{float(self.change):.1e}. Start nearer to the solution, allow more max_steps, damp g, or raise "
                "tolerance."
            )
        return self.value


def fixed_point(
    g: Callable[[Any, Any], Any],
    a0: PyTree,
    b: PyTree,
    *,
    tolerance: int | float | None = None,
    max_steps: SupportsIndex = 1000,
    acceleration: Anderson | None = None,
) -> FixedPoint:
    r"""Solution of $a = g(a, b)$ by iterating `g` from `a0`.

    `value` is differentiable with respect to `b`, and to what `g` closes over, by the implicit function theorem: in
    reverse and forward mode, to any order, in memory that does not grow with the steps. Its derivative with respect
    to `a0` is zero, as where one starts does not move the point that attracts. If the iteration does not converge
    within `max_steps`, or that of the linear equation of the derivative does not, derivatives are NaN: where a rougher
    solution is good enough, say so by `tolerance`.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_ad import fixed_point
        >>> root = lambda b: fixed_point(lambda a, b: (a + b / a) / 2, jnp.array(1.0), b).value
        >>> print(f"{root(4.0):.4f} {jax.grad(root)(4.0):.4f}")  # sqrt(b), 1 / (2 sqrt(b))
        2.0000 0.2500

    Args:
        g: contraction near the solution, from (a, b) to a pytree like `a`.
        a0: start of the iteration: `D`, `DV`, `DM`, array or pytree of them.
        b: anything that `g` takes. The floats in it are what the solution can be differentiated with respect to.
        tolerance: accept when no number changes by more than `tolerance * (1 + largest number of a)` in a step. By
            default the machine epsilon of the dtype to the power 3/4 (2e-12 in double, 6e-6 in single precision).
        max_steps: give up after so many applications of `g`.
        acceleration: `Anderson()` to make less of them, of the linear equation of the derivative too. It changes no
            value but by rounding, and derivatives are as without.

    Returns:
        A `FixedPoint`, whose `value` is the solution if `converged` is true.

    Raises:
        TypeError: if `a0` is not made of real floats, if g(a, b) has other dtypes, or if `max_steps` is not an
            integer, or if `acceleration` is not an `Anderson`.
        ValueError: if g(a, b) has another structure or other shapes than `a0`, if `tolerance` is not positive, or if
            `max_steps` is less than 1.
    """
    check_floats("a0", a0)
    max_steps = integer("max_steps", max_steps, 1)
    if acceleration is not None:
        instance("acceleration", acceleration, Anderson, "Anderson(), or None")
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"`tolerance` must be positive, got {tolerance}.")
    a0 = jax.tree.map(jnp.asarray, a0)
    epsilon = float(max(jnp.finfo(leaf.dtype).eps for leaf in jax.tree.leaves(a0)))
    accepted = epsilon**0.75 if tolerance is None else tolerance

    def step(a: PyTree) -> PyTree:
        stepped = g(a, b)
        check_like("g(a, b)", stepped, "a0", a0)
        for new, old in zip(jax.tree.leaves(stepped), jax.tree.leaves(a0), strict=True):
            if dtype(new) != old.dtype:
                raise TypeError(f"`g(a, b)` must have the dtypes of `a0`, got {dtype(new)} in place of {old.dtype}.")
        # of the kind of `a0`, where `g` gives an array in place of a `D`
        return jax.tree.unflatten(jax.tree.structure(a), map(jnp.asarray, jax.tree.leaves(stepped)))

    def residual(a: PyTree) -> PyTree:
        return tree.subtract(step(a), a)

    def solve(_: Any, a0: PyTree) -> tuple[PyTree, tuple[Array, Array, Array]]:
        a, change, steps, converged = _iterate(step, a0, accepted, 1.0, max_steps, acceleration)
        # custom_root gives what comes along tangents of its own dtype, which only floats have
        return a, (converged.astype(change.dtype), steps.astype(change.dtype), change)

    def tangent_solve(residual_tangent: Callable[[PyTree], PyTree], r: PyTree) -> PyTree:
        # in one array, because a right side that is zero in part cannot be transposed (JAX 0.12)
        matvec = lambda x: tree.ravel(residual_tangent(tree.unravel(x, r)))
        return tree.unravel(jax.lax.custom_linear_solve(matvec, tree.ravel(r), solve_linear, solve_linear), r)

    def solve_linear(matvec: Callable[[Array], Array], r: Array) -> Array:
        # the matrix is J - I, so x = J x - r
        x, _, _, converged = _iterate(lambda x: x + matvec(x) - r, -r, accepted, 0.0, max_steps, acceleration)
        return jnp.where(converged, x, jnp.nan)

    value, (converged, steps, change) = jax.lax.custom_root(residual, a0, solve, tangent_solve, has_aux=True)
    return FixedPoint(_solution(value, converged > 0), converged > 0, steps.astype(int), change)


@jax.custom_jvp
def _solution(value: PyTree, converged: Bool[Array, ""]) -> PyTree:
    """`value`, whose derivatives are NaN if it is no solution: the theorem says nothing of other points."""
    return value


@_solution.defjvp
def _solution_jvp(primals: tuple[PyTree, Array], tangents: tuple[PyTree, Any]) -> tuple[PyTree, PyTree]:
    (value, converged), (tangent, _) = primals, tangents
    # NaN by way of the value, so that higher derivatives are NaN as well.
    scaled = lambda v, t: jnp.where(converged, 1.0, jnp.nan * jnp.where(converged, 0.0, v)) * t
    return _solution(value, converged), jax.tree.map(scaled, value, tangent)


def _iterate(
    step: Callable[[PyTree], PyTree],
    start: PyTree,
    tolerance: int | float,
    floor: float,
    max_steps: int,
    acceleration: Anderson | None,
) -> tuple[PyTree, Float[Array, ""], Int[Array, ""], Bool[Array, ""]]:
    def close(a: PyTree, change: Array) -> Array:
        return (change <= tolerance * (floor + _largest(a))) & jnp.isfinite(change)

    def go_on(carry: tuple[PyTree, Array, Array, PyTree]) -> Array:
        a, change, steps, _ = carry
        # the first step has nothing to compare with; a change that is not finite never ends well
        return (steps == 0) | (~close(a, change) & jnp.isfinite(change) & (steps < max_steps))

    def advance(carry: tuple[PyTree, Array, Array, PyTree]) -> tuple[PyTree, Array, Array, PyTree]:
        a, _, steps, memory = carry
        stepped = step(a)
        change = _largest(tree.subtract(stepped, a))
        if acceleration is not None:
            stepped, memory = acceleration.step(a, stepped, memory, steps)
        return stepped, change, steps + 1, memory

    nothing = _largest(tree.zeros_like(start))
    memory = () if acceleration is None else acceleration.start(start)
    a, change, steps, _ = jax.lax.while_loop(go_on, advance, (start, nothing, jnp.asarray(0), memory))
    return a, change, steps, close(a, change)


def _largest(a: PyTree) -> Float[Array, ""]:
    return largest(jnp.abs(tree.ravel(a)), initial=0.0)
