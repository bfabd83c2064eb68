"""Records of results as text, with the values of their numbers: `loss=0.25` for `loss=f32[]`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import equinox as eqx
import jax
import numpy as np
from hype_ad.internal.checks import known


def with_numbers(record: eqx.Module, told: Mapping[str, str] | None = None) -> str:
    """A record as it would be written, numbers by their values, arrays by their shapes; `told` has texts of fields."""
    told = {} if told is None else told
    text = lambda name: told[name] if name in told else _shown(getattr(record, name))
    lines = [f"  {field.name}={text(field.name)}," for field in fields(record)]
    return "\n".join([f"{type(record).__name__}(", *lines, ")"])


def _shown(value: Any) -> str:
    number = lambda leaf: _Number(leaf) if isinstance(leaf, jax.Array) and known(leaf) and leaf.ndim == 0 else leaf
    return eqx.tree_pformat(jax.tree.map(number, value)).replace("\n", "\n  ")


class _Number:
    """A number that is printed by its value."""

    def __init__(self, leaf: jax.Array):
        self._value = np.asarray(leaf)[()]

    def __repr__(self) -> str:
        return str(self._value) if self._value.dtype.kind in "biu" else f"{float(self._value):.6g}"
