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
from hype_ad.internal.closing import closure_convert
from hype_ad.internal.tree import add, zeros_like
from jaxtyping import Array, Float, Int, PyTree

from ._adjoint import AbstractTrajectoryAdjoint
from ._custom_types import Position
from ._dynamics import Dynamics, Phase, drift, kick, repeat
from ._logdensity import numbers_as_arrays, value_and_gradient


class ReversibleTrajectory(AbstractTrajectoryAdjoint):
    """Runs the trajectory back, so that reverse mode keeps its end only, however many steps there are.

    Gradients are those of `CheckpointedTrajectory`, up to the rounding that running back adds: little where the
    trajectory is stable, much where it diverges. Also of a number of steps that is found when the program runs: with
    it `RandomLength` has reverse mode.

    Second derivatives are forward or reverse mode over reverse mode (`jax.hessian` works; of `RandomLength` forward
    over reverse only), and those keep what `CheckpointedTrajectory` keeps. Forward mode alone raises JAX's `TypeError`
    on `custom_vjp`: it keeps no states anyway, so take it of `CheckpointedTrajectory`.
    """

    def trajectory(self, start: Phase, dynamics: Dynamics, num_steps: int | Int[Array, ""]) -> Phase:
        """The end of a trajectory."""
        # What a log density closes over must be an argument, or it would have no derivative.
        explicit = numbers_as_arrays(closure_convert(dynamics.logdensity, start.position))
        dynamics = Dynamics(explicit, dynamics.mass, dynamics.step_size, dynamics.integrator)
        return _trajectory((start, dynamics), num_steps)


def _follow(arguments: tuple[Phase, Dynamics], num_steps: int | Int[Array, ""]) -> Phase:
    start, dynamics = arguments
    return repeat(dynamics.step, start, num_steps)


_trajectory = eqx.filter_custom_vjp(_follow)


@_trajectory.def_fwd
def _forward(
    perturbed: PyTree[bool], arguments: tuple[Phase, Dynamics], num_steps: int | Int[Array, ""]
) -> tuple[Phase, Phase]:
    end = _follow(arguments, num_steps)
    return end, end


class _Back(NamedTuple):
    """A state on the way back, between two drifts, with the cotangents of all that follows from it.

    Attributes:
        position: the position.
        momentum: the momentum, after the kick to undo next.
        kick: coefficient of the kick to undo next. The last kick of a step and the first of the following one use the
            same gradient, so they are undone together.
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
    arguments: tuple[Phase, Dynamics],
    num_steps: int | Int[Array, ""],
) -> tuple[Phase, Dynamics]:
    start, dynamics = arguments
    h, mass = dynamics.step_size, dynamics.mass
    parts = lambda dynamics: (dynamics.mass, dynamics.logdensity)
    parameters, rest = eqx.partition(parts(dynamics), parts(perturbed[1]))

    def force(parameters: PyTree, position: Position) -> tuple[Float[Array, ""], Position]:
        return value_and_gradient(eqx.combine(parameters, rest)[1], position)

    def undo_kick(back: _Back) -> _Back:
        (_, gradient), pull = jax.vjp(force, parameters, back.position)
        undone = _undo_kick(back, h, gradient)
        of_gradient = add(back.cotangent.logdensity_grad, undone.of_gradient)
        of_parameters, of_position = pull((back.cotangent.logdensity, of_gradient))
        return back._replace(
            momentum=undone.momentum,
            cotangent=Phase(
                add(back.cotangent.position, of_position),
                undone.of_momentum,
                jnp.zeros_like(back.cotangent.logdensity),
                zeros_like(of_gradient),
            ),
            step_size=back.step_size + undone.of_step,
            parameters=add(back.parameters, of_parameters),
        )

    def undo_drift(back: _Back, fraction: float) -> _Back:
        position = drift(-fraction * h, mass, back.momentum, back.position)

        def carried(h: Float[Array, ""], parameters: PyTree, momentum: Position) -> Position:
            return drift(fraction * h, eqx.combine(parameters, rest)[0], momentum, position)

        _, pull = jax.vjp(carried, h, parameters, back.momentum)
        of_step, of_parameters, of_momentum = pull(back.cotangent.position)
        momentum = add(back.cotangent.momentum, of_momentum)
        return back._replace(
            position=position,
            cotangent=eqx.tree_at(lambda phase: phase.momentum, back.cotangent, momentum),
            step_size=back.step_size + of_step,
            parameters=add(back.parameters, of_parameters),
        )

    first, *inner, last = dynamics.integrator.kicks

    def undo_step(back: _Back) -> _Back:
        for fraction, next_kick in zip(dynamics.integrator.drifts[::-1], [*inner[::-1], first + last], strict=True):
            back = undo_drift(undo_kick(back), fraction)
            back = back._replace(kick=jnp.full_like(h, next_kick))
        return back

    back = _Back(
        end.position,
        end.momentum,
        jnp.full_like(h, last),
        jax.tree.map(lambda x, ct: jnp.zeros_like(x) if ct is None else ct, end, cotangent),
        jnp.zeros_like(h),
        zeros_like(parameters),
    )
    back = repeat(undo_step, back, num_steps)
    # The first gradient of all came with the start.
    undone = _undo_kick(back._replace(kick=jnp.full_like(h, first)), h, start.logdensity_grad)
    of_start = Phase(back.cotangent.position, undone.of_momentum, jnp.zeros_like(start.logdensity), undone.of_gradient)
    of_mass, of_logdensity = back.parameters
    return of_start, Dynamics(of_logdensity, of_mass, back.step_size + undone.of_step, dynamics.integrator)


class _Undone(NamedTuple):
    """The momentum before a kick, and the cotangents of what the kick was made of."""

    momentum: Position
    of_momentum: Position
    of_step: Float[Array, ""]
    of_gradient: Position


def _undo_kick(back: _Back, h: Float[Array, ""], gradient: Position) -> _Undone:
    momentum = kick(-back.kick * h, gradient, back.momentum)
    _, pull = jax.vjp(lambda h, g, p: kick(back.kick * h, g, p), h, gradient, momentum)
    of_step, of_gradient, of_momentum = pull(back.cotangent.momentum)
    return _Undone(momentum, of_momentum, of_step, of_gradient)
