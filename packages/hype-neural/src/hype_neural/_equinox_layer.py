"""Equinox modules, and any other callable pytrees, as layers."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from hype_ad.internal.checks import known
from jaxtyping import Array, PRNGKeyArray, PyTree

from ._function import is_plain
from ._initializer import AbstractInitializer
from ._layer import AbstractStatelessLayer


class EquinoxLayer(AbstractStatelessLayer):
    """An `equinox.nn` layer, or any other callable pytree, as a layer; `FeedForward` makes them of such elements.

    Its arrays and truth values stay leaves, the latter for `equinox.nn.inference_mode`. What else Equinox has as leaves
    (an activation function, a dropout probability) becomes static, so that `jax.jit` and `jax.grad` need no filtering
    where there are no truth values, and nothing but arrays is trained.

    Args:
        module: a function of one example, and perhaps of `key=`.

    Raises:
        TypeError: if `module` cannot be called, is not a pytree, or keeps state, as `equinox.nn.BatchNorm` does.
    """

    leaves: PyTree
    rest: PyTree = eqx.field(static=True)

    def __init__(self, module: Callable[..., Any]):
        if not callable(module) or is_plain(module):
            raise TypeError(f"`module` must be a callable pytree such as an Equinox layer, got {module!r}.")
        if _parts(module, eqx.nn.StateIndex):
            raise TypeError(
                f"`module` must not have state, but {type(module).__name__} does; a layer is a function of its input. "
                "Take equinox.nn.LayerNorm or GroupNorm for BatchNorm; or equinox.nn.Sequential in place of "
                "FeedForward, model, model_state = equinox.nn.make_with_state(equinox.nn.Sequential)([...]), and "
                "train(model, ..., model_state=model_state)."
            )
        self.leaves, self.rest = eqx.partition(module, _is_leaf)

    @property
    def module(self) -> Callable[..., Any]:
        """The module."""
        return eqx.combine(self.leaves, self.rest)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """Call the module.

        Raises:
            ValueError: if it has a dropout that is not in inference mode, and there is no key.
        """
        module = self.module
        if key is None and any(map(_drops, _parts(module, eqx.nn.Dropout))):
            raise ValueError(
                f"{type(module).__name__} draws at random and needs `key=`. To train with it, call `train` with "
                "`keyed=True` and a key; elsewhere switch it off by `equinox.nn.inference_mode(model)`, or call the "
                "model with a key for each example."
            )
        if key is not None and "key" in inspect.signature(module).parameters:
            return module(x, key=key)
        return module(x)

    def init(self, key: PRNGKeyArray, initializer: AbstractInitializer | None = None) -> "EquinoxLayer":
        """Itself, if it has no weights.

        Raises:
            TypeError: if it has: how to draw them is not known here.
        """
        if self.num_parameters:
            name = type(self.module).__name__
            raise TypeError(f"The weights of {name} cannot be drawn anew here; make a new one with its constructor.")
        return self


def _is_leaf(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | bool)


def _parts(module: PyTree, kind: type) -> list[Any]:
    """What of a module is of some kind."""
    is_of_kind = lambda node: isinstance(node, kind)
    return list(filter(is_of_kind, jax.tree.leaves(module, is_leaf=is_of_kind)))


def _drops(dropout: eqx.nn.Dropout) -> bool:
    return dropout.p > 0 and known(dropout.inference) and not dropout.inference
