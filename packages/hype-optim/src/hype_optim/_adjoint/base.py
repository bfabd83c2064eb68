import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree


class Stationarity(eqx.Module):
    r"""How nearly a point is one where the gradient vanishes, and how well the linear equation there is solved.

    Attributes:
        gradient_norm: the 2-norm of the gradient $g$ of the whole objective at the point. The derivatives that
            `Implicit` gives are those of the point where it is 0.
        distance: the 2-norm of the step $s$ with $H s = g$, $H$ being the Hessian: about how far that point is.
        residual: $\|H s - g\|_2 / \|g\|_2$, or 0 at a gradient of exactly 0. NaN if the linear solver gave up, and then
            the derivatives are NaN too.
    """

    gradient_norm: Float[Array, ""]
    distance: Float[Array, ""]
    residual: Float[Array, ""]


class AbstractAdjoint(eqx.Module):
    """How derivatives pass back through a loop: it brings the scan that the loop runs on."""

    @abc.abstractmethod
    def scan(
        self,
        step: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
        init: PyTree,
        xs: PyTree,
        load: Callable[[Any], Any],
    ) -> tuple[PyTree, PyTree]:
        """`hype_ad.checkpointed_scan`, or what stands for it."""

    def find(
        self,
        run: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
        state: PyTree,
        params: PyTree,
        gradient: Callable[[PyTree], PyTree],
    ) -> tuple[PyTree, PyTree, Stationarity | None]:
        """The weights that a run ends with, what else it gives, and how nearly stationary the weights are.

        Args:
            run: maps a state and a configuration to weights and what else there is to know; its loop is `scan`.
            state: where the run starts.
            params: the run's `Params`.
            gradient: that of the whole objective, as a function of the weights.
        """
        return *run(state, params), None


def number_of_steps(xs: PyTree) -> int:
    """The length of the leading axis, over the steps."""
    return jax.tree.leaves(xs)[0].shape[0]
