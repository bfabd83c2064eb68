r"""Derivatives of a minimum by the implicit function theorem, whatever way it was found.

Where $\nabla f(w, c) = 0$ and the Hessian $H$ in $w$ is regular, $dw = -H^{-1} \partial_c \nabla f\, dc$. So the run is
held constant and its end point $w$ goes through an identity whose derivative is that. The rule calls itself at $w$, so
there is a derivative of it again, and the linear solve is one that has both modes.

Under a constraint the same holds of the residual of a projected or proximal step, $w - \operatorname{prox}_h(w - \nabla
f(w, c))$, in the place of the gradient; its derivative in $w$ is not symmetric.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from hype_ad import Sparsity, checkpointed_scan
from hype_ad.internal.checks import instance, static_number
from hype_ad.internal.closing import closure_convert
from hype_ad.internal.extremes import largest
from hype_ad.internal.settled import follows_devices
from hype_ad.internal.sparse import as_sparsity
from hype_ad.internal.tree import float_dtype, ravel, subtract
from jaxtyping import Array, Float, PyTree

from .._config.constraint.base import NoConstraint
from .._transform.linear_solve import solve_linear
from .._transform.nondifferentiable import nondifferentiable
from .._transform.sparse_solve import check_size, solve_definite
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

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_optim import Implicit, Newton, Params, minimize
        >>> params = Params(epochs=5, method=Newton(), adjoint=Implicit(), silent=True)
        >>> root = lambda c: minimize(lambda w: jnp.sum((w**2 - c) ** 2), jnp.array(1.5), params).w
        >>> print(f"{jax.grad(root)(2.0):.4f}")  # 1 / (2 sqrt(2))
        0.3536

    Args:
        linear_solver: solves with the symmetric $H$, which it is told is positive semidefinite, as it is at a minimum:
            `lineax.CG(rtol, atol)`, `lineax.Normal(lineax.CG(rtol, atol))`, `lineax.GMRES(rtol, atol)`,
            `lineax.Cholesky()`, `lineax.LU()`, `lineax.AutoLinearSolver(well_posed=None)`, `Neumann(terms, step)`, ...
            Right sides are scaled to length 1 first, which is what an absolute tolerance refers to. If it gives up, the
            derivative is NaN. By default CG to the square root of the machine epsilon, under a constraint that of the
            normal equations, since the matrix is not symmetric then. At a saddle or a maximum take LU or GMRES.
        tolerance: how far the point may be from one where the gradient vanishes, by the step $H^{-1} \nabla f$ of
            Newton's method there, relative to the length of the weights or, if that is more, of the way that they have
            come. That step must also at least halve the gradient, which it does not across a kink such as that of
            `L1Reg`, unless it is as short as rounding makes it. Otherwise the derivative is NaN, and a warning is
            given when the program runs. It costs one more linear solve; `None` checks nothing.

        sparsity: which entries of $H$ may be other than zero, such as `hype_ad.hessian_sparsity(f)(w)` or what a
            `hype_ad.Sparsity` can be made of: a few products give $H$, and its Cholesky factor in the order of a band
            takes the place of `linear_solver`. It is held to one more product; if entries are missing, or $H$ is not
            positive definite, the derivative is NaN.

    Raises:
        TypeError: if `linear_solver` is not one, or has arrays in it: it is part of the compiled program; if
            `tolerance` is not a number known before compiling; if `sparsity` is no matrix that is known.
        ValueError: if `tolerance` is below 0, or if a run has several losses or a `model_state`, or is inside of a
            `jax.shard_map` (with `check_vma`); if `sparsity` is given beside a `linear_solver` or a constraint, or is
            not of as many rows and columns as there are weights.
    """

    assumption: ClassVar[str] = "Under `Implicit` the inner run must have converged: look at `Result.stationarity`."

    needs_minimum: ClassVar[bool] = True

    linear_solver: lx.AbstractLinearSolver | None = eqx.field(static=True)
    tolerance: float | None = eqx.field(static=True)
    sparsity: Sparsity | None = eqx.field(static=True)

    def __init__(
        self,
        linear_solver: lx.AbstractLinearSolver | None = None,
        tolerance: float | None = 1e-3,
        *,
        sparsity: Any = None,
    ):
        if linear_solver is not None:
            instance("linear_solver", linear_solver, lx.AbstractLinearSolver, "a solver such as lineax.LU()")
            if any(map(eqx.is_array, jax.tree.leaves(linear_solver))):
                raise TypeError(f"`linear_solver` must hold Python numbers, not arrays, got {linear_solver!r}.")
            if sparsity is not None:
                raise ValueError("`sparsity` and `linear_solver` are two ways to solve: give one of them.")
        self.sparsity = as_sparsity(sparsity)
        self.linear_solver = linear_solver
        self.tolerance = None if tolerance is None else static_number("tolerance", tolerance, at_least=0.0)

    def solve(self, run: Run, state: PyTree, params: PyTree, gradient: Callable[[PyTree], PyTree]) -> Solution:
        """The weights that the run ends with, with the derivative of the stationary point there."""
        if state.model_state is not None:
            raise ValueError(
                "`model_state` must be left out under Implicit(): what the steps minimize changes with it, so that no "
                "gradient vanishes at the end. Take another adjoint, such as Checkpointed()."
            )
        if follows_devices():
            raise ValueError(
                "`adjoint` must not be Implicit() inside of a jax.shard_map, where JAX's linear solves do not "
                "tell what differs between devices: shard the data, such as jax.device_put(data, NamedSharding(mesh, "
                'PartitionSpec("data"))), and leave the shard_map out.'
            )
        state, params = nondifferentiable(state, _START), nondifferentiable(params, _PART, except_for=SEEN)
        w, rest = call_stopped(lambda state, params: run(_scan, state, params), state, params)
        solver = self.linear_solver
        constrained = not isinstance(params.constraint, NoConstraint)
        if solver is None:
            tolerance = float(jnp.finfo(float_dtype(w)).eps) ** 0.5
            solver = lx.CG(rtol=tolerance, atol=tolerance)
            solver = lx.Normal(solver) if constrained else solver
        residual = (lambda w: params.constraint.residual(w, gradient(w))) if constrained else gradient
        residual = closure_convert(residual, w)
        solve = partial(solve_linear, solver=solver, symmetric=not constrained)
        if self.sparsity is not None:
            if constrained:
                raise ValueError("`sparsity` must be left out under a constraint: the matrix is not symmetric.")
            check_size(self.sparsity, w)
            solve = partial(solve_definite, sparsity=self.sparsity)
        stationarity = call_stopped(partial(_stationarity, self.tolerance), w, state.w, residual, solve)
        checked = None if self.tolerance is None else stationarity
        return Solution(_stationary_point(w, residual, solve, checked), rest, stationarity)


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
def _stationary_point(w: PyTree, residual: Residual, solve: Solve, checked: Stationarity | None) -> PyTree:
    return w


@_stationary_point.def_jvp
def _stationary_point_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    (w, residual, solve, checked), (_, residual_tangent, _, _) = primals, tangents
    w = _stationary_point(w, residual, solve, checked)
    _, change = eqx.filter_jvp(lambda residual: residual(w), (residual,), (residual_tangent,))
    _, slope = jax.linearize(residual, w)
    # A part of the weights whose residual does not change has no tangent at all, which is not yet a zero.
    right = jax.tree.map(lambda leaf, t: jnp.zeros_like(leaf) if t is None else -t, w, change)
    tangent = solve(slope, right)
    if checked is None:
        return w, tangent
    jax.lax.cond(checked.accepted, lambda _: None, lambda checked: jax.debug.callback(_warn, checked), checked)
    factor = jnp.where(checked.accepted, 1, jnp.nan)  # a selection of NaN would be lost in the transpose
    return w, jax.tree.map(lambda leaf: factor.astype(leaf.dtype) * leaf, tangent)


def _stationarity(tolerance: float | None, w: PyTree, start: PyTree, residual: Residual, solve: Solve) -> Stationarity:
    value, slope = jax.linearize(residual, w)
    solution = solve(slope, value)
    length, distance, error = _norm(value), _norm(solution), _norm(subtract(slope(solution), value))
    relative = error / jnp.where(length > 0, length, 1)
    if tolerance is None:
        return Stationarity(length, distance, relative, jnp.array(True))
    rounding = float(jnp.finfo(distance.dtype).eps) ** 0.5
    scale = jnp.maximum(jnp.maximum(_norm(w), _norm(subtract(w, start))), rounding)
    foreseen = _norm(residual(subtract(w, solution))) <= length / 2
    near = lambda tolerance: distance <= tolerance * scale
    accepted = near(min(tolerance, rounding)) | (near(tolerance) & foreseen)
    return Stationarity(length, distance, relative, accepted)


def _norm(tree: PyTree) -> Float[Array, ""]:
    """The 2-norm, also where squares overflow or underflow."""
    entries = ravel(tree)
    unit = largest(jnp.abs(entries))
    return unit * jnp.sqrt(jnp.sum((entries / jnp.where(unit > 0, unit, 1)) ** 2))


def _warn(stationarity: Stationarity) -> None:
    if stationarity.accepted:  # `vmap` calls for those too
        return
    warnings.warn(
        f"`Implicit` gives a derivative of NaN: where the run ended the gradient has length "
        f"{float(stationarity.gradient_norm):.2g}, and is expected to vanish {float(stationarity.distance):.2g} from "
        "there (NaN if the linear solver gave up, or a `sparsity` lacks entries), "
        "which is more than `Implicit`'s `tolerance` or not as foreseen. Let "
        "the run converge: more steps, `Params(return_best=False)` for the last point. Where the kink of an `L1Reg` "
        "holds the point, the gradient never vanishes: take `Params(constraint=SoftThreshold(...))` in its place, or "
        "an adjoint that follows the steps, such as `Checkpointed()`. `Implicit(tolerance=None)` gives the derivative "
        "unchecked.",
        stacklevel=2,
    )
