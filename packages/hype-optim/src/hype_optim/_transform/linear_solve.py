"""Linear equations by a solver of Lineax, in a form that has every derivative and raises nothing."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import lineax as lx
from hype_ad.internal.tree import ravel, unravel
from jaxtyping import Array, Float, PyTree

Vector = Float[Array, " n"]


class _Square(lx.FunctionLinearOperator):
    """A real operator from vectors to vectors of their structure.

    Lineax finds the structure of an output from shapes and dtypes alone, and so cannot call functions that close over
    arrays that are sharded along explicit axes or vary over devices.
    """

    def out_structure(self) -> jax.ShapeDtypeStruct:
        return self.in_structure()

    def transpose(self) -> "_Square":
        if lx.is_symmetric(self):
            return self
        transposed = jax.linear_transpose(self.fn, self.in_structure())
        return _Square(lambda vector: transposed(vector)[0], self.in_structure(), frozenset())


@lx.conj.register(_Square)
def _(operator: _Square) -> _Square:
    return operator


def solve_linear(
    product: Callable[[PyTree], PyTree], right: PyTree, solver: lx.AbstractLinearSolver, symmetric: bool
) -> PyTree:
    """The solution `x` of `product(x) = right`, or NaN where the solver gives up.

    A symmetric `product` is taken to be positive semidefinite.

    `lineax.linear_solve` would raise in the middle of a reverse pass, where there is nobody to look at a status, and
    carries a callback there to do so.
    """
    # In one vector, because a right side that is zero in part cannot be transposed (JAX 0.12).
    matvec = lambda x: ravel(product(unravel(x, right)))

    def solve(matvec: Callable[[Vector], Vector], b: Vector) -> Vector:
        tags = (lx.symmetric_tag, lx.positive_semidefinite_tag) if symmetric else ()
        operator = _Square(matvec, jax.eval_shape(lambda: b), frozenset(tags))
        # Right sides of length 1 let an absolute tolerance mean the same whatever the size of a derivative.
        squared = jnp.sum(b * b)  # a product in reduced precision would not be that length
        length = jnp.sqrt(jnp.where(squared > 0, squared, 1))
        x, result, _ = solver.compute(solver.init(operator, {}), b / length, {})
        # A right side of NaN must not come out as 0, which is what CG makes of it.
        solved = (result == lx.RESULTS.successful) & jnp.all(jnp.isfinite(x)) & jnp.isfinite(squared)
        return jnp.where(squared == 0, 0, jnp.where(solved, x * length, jnp.nan))

    return unravel(jax.lax.custom_linear_solve(matvec, ravel(right), solve, solve, symmetric=symmetric), right)
