"""Choices of a configuration in words."""

from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree


class Span(NamedTuple):
    """What is told of an array: how many entries it has, and from where to where they reach."""

    size: int
    lowest: float
    highest: float

    def __str__(self) -> str:
        if self.size == 1:
            return f"{self.lowest:.4g}"
        return f"<{self.size:,} from {self.lowest:.4g} to {self.highest:.4g}>"


def reach(choice: PyTree) -> PyTree:
    """The choice with the lowest and the highest entry of each array in its place."""
    ends = lambda leaf: jnp.stack([jnp.min(leaf), jnp.max(leaf)])
    return jax.tree.map(lambda leaf: ends(leaf) if eqx.is_inexact_array(leaf) and leaf.size else leaf, choice)


def describe(choice: Any, sizes: PyTree) -> str:
    """A choice as it could be written, arrays in short: `RMSProp(rate=0.001, decay=0.9)`.

    Args:
        choice: what `reach` gave, of known values.
        sizes: of its structure, how many entries each array had.
    """
    spans = jax.tree.map(lambda ends, size: Span(size, *np.asarray(ends, float)), choice, sizes)
    arguments = [_argument(field.name, getattr(spans, field.name)) for field in fields(spans)]
    inside = ", ".join(filter(None, arguments))
    return f"{type(choice).__name__}({inside})" if inside else type(choice).__name__


def _argument(name: str, value: Any) -> str | None:
    if isinstance(value, Span):
        return f"{name}={value}"
    if isinstance(value, dict):
        return ", ".join(filter(None, (_argument(key, entry) for key, entry in value.items())))
    if callable(value) and not is_dataclass(value):
        return getattr(value, "__name__", None)
    if isinstance(value, int | str):
        return f"{name}={value}"
    spans = [leaf for leaf in jax.tree.leaves(value, is_leaf=lambda x: isinstance(x, Span)) if isinstance(leaf, Span)]
    if not spans:
        return None
    lowest, highest = min(span.lowest for span in spans), max(span.highest for span in spans)
    return f"{name}={Span(sum(span.size for span in spans), lowest, highest)}"
