"""Gradient descent."""

from typing import ClassVar

import jax.numpy as jnp
from hype_ad.internal.tree import negative
from jaxtyping import Array, Bool, PyTree

from ..._objective import Iterate
from ..learning_rate.root_mean_square import RMSProp
from .base import AbstractMethod


class GD(AbstractMethod):
    """Gradient descent: against the gradient. Its default rate is `RMSProp()`."""

    takes_scaling: ClassVar[bool] = True

    def default_learning_rate(self) -> RMSProp:
        """`RMSProp()`."""
        return RMSProp()

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        return ()

    def is_step(self, memory: tuple[()]) -> Bool[Array, ""]:
        """No: minus the gradient has the unit of the objective."""
        return jnp.array(False)

    def direction(self, iterate: Iterate, memory: tuple[()]) -> tuple[PyTree, tuple[()]]:
        """Minus the gradient."""
        return negative(iterate.clipped), memory
