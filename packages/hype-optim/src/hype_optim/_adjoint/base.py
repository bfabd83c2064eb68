"""What an adjoint is: how derivatives pass back through a loop."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, PyTree

from .._progress.numbers import with_numbers


@runtime_checkable
class Step(Protocol):
    """One step of a scan: from a carry and an input to the next carry and an output."""

    def __call__(self, carry: PyTree, x: PyTree, /, mixed: bool = False) -> tuple[PyTree, PyTree]:
        """Make the step.

        Args:
            carry: the state before it.
            x: what it reads.
            mixed: whether the gradient inside may have its derivative in mixed mode, forward over reverse where it is
                transposed. It is the same derivative; it keeps less and is faster where the step is recomputed alone,
                and is slower elsewhere.
        """
        ...


Load: TypeAlias = Callable[[Any], Any]
"""From the `xs` of some steps to what these steps read, batches of data included."""

Scan: TypeAlias = Callable[[Step, PyTree, PyTree, Load], tuple[PyTree, PyTree]]
"""`scan(step, init, xs, load)`: the last carry and the stacked outputs, as `hype_ad.checkpointed_scan` gives them."""

Run: TypeAlias = Callable[[Scan, PyTree, PyTree], tuple[PyTree, PyTree]]
"""`run(scan, state, params)`: the weights that a run results in, and what else it gives."""


class Stationarity(eqx.Module):
    r"""How nearly a point is one where the gradient vanishes, and how well the linear equation there is solved.

    Attributes:
        gradient_norm: the 2-norm of the gradient $g$ of the whole objective at the point. The derivatives that
            `Implicit` gives are those of the point where it is 0.
        distance: the 2-norm of the step $s$ with $H s = g$, $H$ being the Hessian: about how far that point is.
        residual: $\|H s - g\|_2 / \|g\|_2$, or 0 at a gradient of exactly 0. NaN if the linear solver gave up, and then
            the derivatives are NaN too.
        accepted: whether that is near enough for derivatives, by `Implicit`'s `tolerance`; else they are NaN.
    """

    gradient_norm: Float[Array, ""]
    distance: Float[Array, ""]
    residual: Float[Array, ""]
    accepted: Bool[Array, ""]

    def __repr__(self) -> str:
        """The numbers by their values."""
        return with_numbers(self)


class Solution(NamedTuple):
    """What an adjoint makes of a run.

    Attributes:
        w: the weights, with the derivative that the adjoint gives them.
        rest: what else the run gave.
        stationarity: how nearly the gradient vanishes at `w`, if the derivative rests on that.
    """

    w: PyTree
    rest: PyTree
    stationarity: Stationarity | None = None


class AbstractAdjoint(eqx.Module):
    """How derivatives pass back through a loop.

    Attributes:
        assumption: what must hold for its derivatives to be right, as a sentence for reports; empty if they are exact.
        needs_minimum: whether its derivatives are those of a minimum of one objective.
    """

    assumption: ClassVar[str] = ""
    needs_minimum: ClassVar[bool] = False

    @abc.abstractmethod
    def solve(self, run: Run, state: PyTree, params: PyTree, gradient: Callable[[PyTree], PyTree]) -> Solution:
        """Carry out a run by a scan of the adjoint's choice.

        Args:
            run: the run, `run(scan, state, params)`; all of its steps are in one call of `scan`.
            state: where the run starts.
            params: the run's `Params`, without ranges.
            gradient: that of the whole objective, as a function of the weights.

        Returns:
            The `Solution`, differentiable with respect to the floats of `state`, of `params` and of what `run` and
            `gradient` close over, as far as the adjoint says so.
        """


def is_adjoint(x: Any) -> bool:
    """Whether `x` is an adjoint: the `is_leaf` of those who look for adjoints."""
    return isinstance(x, AbstractAdjoint)


def adjoints_in(tree: PyTree) -> list[AbstractAdjoint]:
    """The adjoints in a configuration."""
    return list(filter(is_adjoint, jax.tree.leaves(tree, is_leaf=is_adjoint)))


def number_of_steps(xs: PyTree) -> int:
    """The length of the leading axis, over the steps."""
    return jax.tree.leaves(xs)[0].shape[0]
