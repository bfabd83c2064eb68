"""Reverse mode that keeps nothing but the end of a trajectory, and runs the integrator back from there.

Undoing the kicks and drifts in reverse order gives every state again, up to rounding, at the moment that reverse mode
asks for it: the idea of Maclaurin, Duvenaud and Adams (2015) for training, for which a symplectic integrator is made.
Each undone kick needs the gradient of the log density at a position and its pullback, which are computed together, so
going back costs what it costs when the states of a segment are computed again.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from . import _tree
from ._adjoint import AbstractAdjoint, Checkpointed
from ._integrator import Integrator
from ._logdensity import LogDensity, value_and_gradient
from ._mass import AbstractMass
from ._trajectory import Phase, drift, kick, repeat
from ._tree import Position


class Reversible(AbstractAdjoint):
    """Runs the trajectory back, so that reverse mode keeps its end only, however many steps there are.

    Gradients are those of `Checkpointed`, up to the rounding that running back adds: little where the trajectory is
    stable, much where it diverges. Also of a number of steps that is found when the program runs: with it
    `DynamicHMC` has reverse mode.

    Second derivatives are forward or reverse mode over reverse mode (`jax.hessian` works; of `DynamicHMC` forward over
    reverse only), and those keep what `Checkpointed` keeps. Forward mode alone raises JAX's `TypeError` on
    `custom_vjp`: it keeps no states anyway, so take it of `Checkpointed`.
    """

    def trajectory(
        self,
        start: Phase,
        logdensity: LogDensity,
        step_size: Float[Array, ""],
        mass: AbstractMass,
        integrator: Integrator,
        num_steps: int | Int[Array, ""],
    ) -> Phase:
        """The end of a trajectory."""
        # What a log density closes over must be an argument, or it would have no derivative.
        explicit = _tree.numbers_as_arrays(eqx.filter_closure_convert(logdensity, start.position))
        return _trajectory((start, step_size, mass, explicit), integrator, num_steps)


_Differentiable = tuple[Phase, Float[Array, ""], AbstractMass, LogDensity]


def _follow(arguments: _Differentiable, integrator: Integrator, num_steps: int | Int[Array, ""]) -> Phase:
    start, step_size, mass, logdensity = arguments
    return Checkpointed().trajectory(start, logdensity, step_size, mass, integrator, num_steps)


_trajectory = eqx.filter_custom_vjp(_follow)


@_trajectory.def_fwd
def _forward(
    perturbed: PyTree[bool], arguments: _Differentiable, integrator: Integrator, num_steps: int | Int[Array, ""]
) -> tuple[Phase, Phase]:
    end = _follow(arguments, integrator, num_steps)
    return end, end


class _Back(NamedTuple):
    """A state on the way back, between two drifts, with the cotangents of all that follows from it.

    Attributes:
        position: where.
        momentum: with what momentum, after the kick.
        kick: of a step, how long the kick was; a last kick and the first one after it are one.
        cotangent: of the position and the momentum, and of the log density and its gradient at the position, as far
            as anything but the kick uses them.
        step_size: cotangent of the step size.
        parameters: cotangent of what is differentiated of mass and log density.
    """

    position: Position
    momentum: Position
    kick: Float[Array, ""]
    cotangent: Phase
    step_size: Float[Array, ""]
    parameters: PyTree[Float[Array, "..."]]


@_trajectory.def_bwd
def _backward(
    end: Phase,
    cotangent: PyTree,
    perturbed: PyTree[bool],
    arguments: _Differentiable,
    integrator: Integrator,
    num_steps: int | Int[Array, ""],
) -> PyTree:
    start, h, mass, logdensity = arguments
    parameters, rest = eqx.partition((mass, logdensity), perturbed[2:])

    def force(parameters: PyTree, position: Position) -> tuple[Float[Array, ""], Position]:
        return value_and_gradient(eqx.combine(parameters, rest)[1], position)

    def undo_kick(back: _Back) -> _Back:
        (_, gradient), pull = jax.vjp(force, parameters, back.position)
        momentum, before, of_step, of_gradient = _undo_kick(back, h, gradient)
        of_gradient = _tree.add(back.cotangent.logdensity_grad, of_gradient)
        of_parameters, of_position = pull((back.cotangent.logdensity, of_gradient))
        return back._replace(
            momentum=momentum,
            cotangent=Phase(
                _tree.add(back.cotangent.position, of_position),
                before,
                jnp.zeros_like(back.cotangent.logdensity),
                jax.tree.map(jnp.zeros_like, of_gradient),
            ),
            step_size=back.step_size + of_step,
            parameters=_tree.add(back.parameters, of_parameters),
        )

    def undo_drift(back: _Back, fraction: float) -> _Back:
        position = drift(-fraction * h, mass, back.momentum, back.position)

        def carried(h: Float[Array, ""], parameters: PyTree, momentum: Position) -> Position:
            return drift(fraction * h, eqx.combine(parameters, rest)[0], momentum, position)

        _, pull = jax.vjp(carried, h, parameters, back.momentum)
        of_step, of_parameters, of_momentum = pull(back.cotangent.position)
        momentum = _tree.add(back.cotangent.momentum, of_momentum)
        return back._replace(
            position=position,
            cotangent=eqx.tree_at(lambda phase: phase.momentum, back.cotangent, momentum),
            step_size=back.step_size + of_step,
            parameters=_tree.add(back.parameters, of_parameters),
        )

    first, *inner, last = integrator.kicks

    def undo_step(back: _Back) -> _Back:
        for fraction, next_kick in zip(integrator.drifts[::-1], [*inner[::-1], first + last], strict=True):
            back = undo_drift(undo_kick(back), fraction)
            back = back._replace(kick=jnp.full_like(h, next_kick))
        return back

    back = _Back(
        end.position,
        end.momentum,
        jnp.full_like(h, last),
        jax.tree.map(lambda x, ct: jnp.zeros_like(x) if ct is None else ct, end, cotangent),
        jnp.zeros_like(h),
        jax.tree.map(jnp.zeros_like, parameters),
    )
    back = repeat(undo_step, back, num_steps)
    # The first gradient of all came with the start.
    _, before, of_step, of_gradient = _undo_kick(back._replace(kick=jnp.full_like(h, first)), h, start.logdensity_grad)
    of_start = Phase(back.cotangent.position, before, jnp.zeros_like(start.logdensity), of_gradient)
    return of_start, back.step_size + of_step, *back.parameters


def _undo_kick(
    back: _Back, h: Float[Array, ""], gradient: Position
) -> tuple[Position, Position, Float[Array, ""], Position]:
    """The momentum before the kick; the cotangents of that momentum, of the step size and of the gradient."""
    momentum = kick(-back.kick * h, gradient, back.momentum)
    _, pull = jax.vjp(lambda h, g, p: kick(back.kick * h, g, p), h, gradient, momentum)
    of_step, of_gradient, of_momentum = pull(back.cotangent.momentum)
    return momentum, of_momentum, of_step, of_gradient
