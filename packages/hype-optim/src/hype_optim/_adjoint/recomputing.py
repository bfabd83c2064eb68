"""What the reverse pass computes again: segments of steps, or single steps, by the bytes that tracing tells.

Within an innermost segment the reverse pass keeps all that each of its steps computed. That is right where the weights
outweigh what is computed from them, as in a perceptron on small batches, and not in a deep model, where a step keeps
tens of times its state. There the innermost level is a single step, for as many forward passes, and the gradient in it
is differentiated in mixed mode.
"""

from functools import partial
from math import prod
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from hype_ad import checkpointed_scan
from hype_ad.internal.closing import closure_convert
from jaxtyping import PyTree

from .._transform.jaxpr import results
from .base import Load, Step, number_of_steps

CACHE = 2**26
"""Up to so many bytes nothing is gained by keeping less: more than fits a cache takes longer to move."""

FEW = 16
"""Fewer steps than this are one segment, as in `hype_ad.checkpointed_scan`."""

_CLEARLY = 0.75
_CLEARLY_FEW = 0.4  # few steps in one segment are not computed again, so that single steps cost one more forward pass


class Sizes(NamedTuple):
    """What is known of a run before it is compiled.

    Attributes:
        steps: how many there are.
        state: the bytes of its state.
        kept: the bytes that the derivative of one step keeps.
    """

    steps: int
    state: int
    kept: int

    def of_segments(self, levels: int) -> float:
        """The bytes that the reverse pass keeps with segments as the innermost level; 1 is to keep everything."""
        if levels == 1 or self.steps < FEW:
            return float(self.steps * self.kept)
        return self.steps ** (1 / levels) * (levels * self.state + self.kept)

    def of_single_steps(self, levels: int) -> float:
        """The same with single steps as the innermost of at least two levels."""
        outer = 1 if self.steps < FEW else levels - 1
        return outer * self.steps ** (1 / outer) * self.state + self.kept

    def are_single(self, levels: int) -> bool:
        """Whether to compute single steps again: where that clearly keeps less, and segments more than fits a cache."""
        segments, margin = self.of_segments(levels), _CLEARLY_FEW if self.steps < FEW else _CLEARLY
        return levels > 1 and segments > CACHE and self.of_single_steps(levels) < margin * segments

    def needed(self, levels: int) -> float:
        """The bytes that the reverse pass keeps, by the better of the two."""
        return self.of_single_steps(levels) if self.are_single(levels) else self.of_segments(levels)


def recomputing_scan(levels: int, step: Step, init: PyTree, xs: PyTree, load: Load) -> tuple[PyTree, PyTree]:
    """`hype_ad.checkpointed_scan` with the innermost level that keeps less."""
    single = False
    made = step
    if levels > 1:
        x = first_input(xs, load)
        made = closure_convert(step, init, x)
        # Most runs are so small that nothing needs to be known exactly: a derivative keeps a part of what is computed.
        rough = Sizes(number_of_steps(xs), bytes_of(init), results(eqx.filter_make_jaxpr(made)(init, x)[0]))
        single = rough.of_segments(levels) > CACHE and sizes(made, init, xs, load).are_single(levels)
    return checkpointed_scan(alone(step) if single else made, init, xs, levels, load=load, single_steps=single)


def alone(step: Step) -> Step:
    """The step where it is recomputed alone: in mixed mode."""
    return partial(step, mixed=True)


def first_input(xs: PyTree, load: Load) -> PyTree:
    """What the first step reads, as shapes."""
    return jax.eval_shape(lambda xs: jax.tree.map(lambda a: a[0], load(jax.tree.map(lambda a: a[:1], xs))), xs)


def sizes(step: Step, init: PyTree, xs: PyTree, load: Load) -> Sizes:
    """The `Sizes` of a run, by tracing the derivative of a step; what is the same for all steps is not counted."""
    x = first_input(xs, load)
    arrays, rest = eqx.partition((init, closure_convert(step, init, x)), eqx.is_array)
    kept = []

    def differentiate(arrays: PyTree, x: PyTree) -> None:
        moving, fixed = eqx.partition(arrays, eqx.is_inexact_array)

        def run(moving: PyTree) -> PyTree:
            state, function = eqx.combine(moving, fixed, rest)
            return eqx.filter(function(state, x), eqx.is_inexact_array)

        _, backward = jax.vjp(run, moving)
        same = {id(leaf) for leaf in jax.tree.leaves(arrays[1])}
        kept.append(bytes_of([leaf for leaf in jax.tree.leaves(backward) if id(leaf) not in same]))

    try:
        jax.eval_shape(differentiate, arrays, x)
    except (TypeError, ValueError, NotImplementedError):
        kept.append(0)  # there is no derivative in reverse mode, as who asks for it is told
    return Sizes(number_of_steps(xs), bytes_of(init), kept[0])


def bytes_of(tree: PyTree) -> int:
    """The bytes of the numbers in a pytree of arrays or shapes."""
    numbers = [leaf for leaf in jax.tree.leaves(tree) if isinstance(getattr(leaf, "dtype", None), np.dtype)]
    return sum(prod(leaf.shape) * leaf.dtype.itemsize for leaf in numbers)
