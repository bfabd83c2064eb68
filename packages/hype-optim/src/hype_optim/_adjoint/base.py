import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import PyTree


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
