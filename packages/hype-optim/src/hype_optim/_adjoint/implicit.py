r"""Derivatives of a minimum by the implicit function theorem, whatever way it was found.

Where $\nabla f(w, c) = 0$ and the Hessian $H$ in $w$ is regular, $dw = -H^{-1} \partial_c \nabla f\, dc$. So the run is
held constant and its end point $w$ goes through an identity whose derivative is that. The rule calls itself at $w$, so
there is a derivative of it again, and the linear solve is one that has both modes.

Under a constraint the same holds of the residual of a projected or proximal step, $w - \operatorname{prox}_h(w - \nabla
f(w, c))$, in the place of the gradient; its derivative in $w$ is not symmetric.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from hype_ad import checkpointed_scan
from hype_ad.internal.checks import instance
from hype_ad.internal.tree import float_dtype, squared_norm, subtract
from jaxtyping import PyTree

from .._config.constraint import NoConstraint
from .._transform.linear_solve import solve_linear
from .._transform.nondifferentiable import nondifferentiable
from .._transform.stop_gradient import call_stopped
from .base import AbstractAdjoint, Load, Run, Solution, Stationarity, Step

Residual: TypeAlias = Callable[[PyTree], PyTree]
"""What vanishes at a stationary point, as a function of the weights: the gradient, or that of a projected step."""

Solve: TypeAlias = Callable[[Residual, PyTree], PyTree]
"""Solves a linear equation, from the product with its matrix and the right side."""

SEEN = (".loss", ".regularization", ".constraint", ".tolerance", ".improvement_threshold")
"""The parts of a configuration that the objective holds, or whose small changes do not change a run at all."""


class Implicit(AbstractAdjoint):
    r"""The implicit function theorem at the point that a run returns: $dw = -H^{-1} \partial_c \nabla f\, dc$.

    Costs the memory of a few Hessian products, however long the run, and is exact where the gradient of the objective
    vanishes; see `Result.stationarity` for how nearly it does. Supports reverse mode, forward mode and higher
    derivatives. $f$ is the whole objective, in training that on all of the data with the penalty, even if the run was
    on minibatches. It must be twice differentiable at the point, and its Hessian there regular: without curvature in
    some direction (unused or redundant weights without a penalty) the derivative is not determined. Near a minimum the
    loss does not tell points apart that differ in half of their digits: where the other half matters, take the last
    point (`Params(return_best=False)`), not the best.

    It sees what the objective depends on: what `f` holds or closes over, the training data, the floats of the loss, of
    the penalty and of the constraint. It does not see the path to the minimum: a derivative with respect to a learning
    rate, a momentum, a clipping threshold, a float of the method, the first weights or a `state` raises. So take the
    derivative with respect to the parts of a `Params` that it sees, or `jax.lax.stop_gradient` the others. Histories
    and `state` have no derivative; those of `loss` and `valid_loss` are whole.

    Args:
        linear_solver: solves with the symmetric $H$, which it is told is positive semidefinite, as it is at a minimum:
            `lineax.CG(rtol, atol)`, `lineax.Normal(lineax.CG(rtol, atol))`, `lineax.GMRES(rtol, atol)`,
            `lineax.Cholesky()`, `lineax.LU()`, `lineax.AutoLinearSolver(well_posed=None)`, `Neumann(terms, step)`, ...
            Right sides are scaled to length 1 first, which is what an absolute tolerance refers to. If it gives up, the
            derivative is NaN. By default CG to the square root of the machine epsilon, under a constraint that of the
            normal equations, since the matrix is not symmetric then. At a saddle or a maximum take LU or GMRES.

    Raises:
        TypeError: if `linear_solver` is not one, or has arrays in it: it is part of the compiled program.
    """

    assumption: ClassVar[str] = "Under `Implicit` the inner run must have converged: look at `Result.stationarity`."

    linear_solver: lx.AbstractLinearSolver | None = eqx.field(static=True)

    def __init__(self, linear_solver: lx.AbstractLinearSolver | None = None):
        if linear_solver is not None:
            instance("linear_solver", linear_solver, lx.AbstractLinearSolver, "a solver such as lineax.LU()")
            if any(map(eqx.is_array, jax.tree.leaves(linear_solver))):
                raise TypeError(f"`linear_solver` must hold Python numbers, not arrays, got {linear_solver!r}.")
        self.linear_solver = linear_solver

    def solve(self, run: Run, state: PyTree, params: PyTree, gradient: Callable[[PyTree], PyTree]) -> Solution:
        """The weights that the run ends with, with the derivative of the stationary point there."""
        state, params = nondifferentiable(state, _START), nondifferentiable(params, _PART, except_for=SEEN)
        w, rest = call_stopped(lambda state, params: run(_scan, state, params), state, params)
        solver = self.linear_solver
        constrained = not isinstance(params.constraint, NoConstraint)
        if solver is None:
            tolerance = float(jnp.finfo(float_dtype(w)).eps) ** 0.5
            solver = lx.CG(rtol=tolerance, atol=tolerance)
            solver = lx.Normal(solver) if constrained else solver
        residual = (lambda w: params.constraint.residual(w, gradient(w))) if constrained else gradient
        residual = eqx.filter_closure_convert(residual, w)
        solve = partial(solve_linear, solver=solver, symmetric=not constrained)
        stationarity = call_stopped(_stationarity, w, residual, solve)
        return Solution(_stationary_point(w, residual, solve), rest, stationarity)


def _scan(step: Step, init: PyTree, xs: PyTree, load: Load) -> tuple[PyTree, PyTree]:
    # In segments, for `load` to bring few data at a time.
    return checkpointed_scan(step, init, xs, load=load)


_WHY = (
    "`Implicit` has no derivative with respect to {what}: the minimum does not depend on how it was found. "
    "Differentiate with respect to what the objective depends on, hold this constant with `jax.lax.stop_gradient`, or "
    "take another adjoint, such as `Checkpointed()`."
)
_START = _WHY.format(what="where a run starts (`w0`, the model's weights, `state{path}`)")
_PART = _WHY.format(what="`params{path}`")


@eqx.filter_custom_jvp
def _stationary_point(w: PyTree, residual: Residual, solve: Solve) -> PyTree:
    return w


@_stationary_point.def_jvp
def _stationary_point_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    (w, residual, solve), (_, residual_tangent, _) = primals, tangents
    w = _stationary_point(w, residual, solve)
    _, change = eqx.filter_jvp(lambda residual: residual(w), (residual,), (residual_tangent,))
    _, slope = jax.linearize(residual, w)
    # A part of the weights whose residual does not change has no tangent at all, which is not yet a zero.
    right = jax.tree.map(lambda leaf, t: jnp.zeros_like(leaf) if t is None else -t, w, change)
    return w, solve(slope, right)


def _stationarity(w: PyTree, residual: Residual, solve: Solve) -> Stationarity:
    value, slope = jax.linearize(residual, w)
    solution = solve(slope, value)
    norm = lambda tree: jnp.sqrt(squared_norm(tree))
    length, error = norm(value), norm(subtract(slope(solution), value))
    return Stationarity(length, norm(solution), error / jnp.where(length > 0, length, 1))
