"""The progress of a run of `sample`: one bar for all chains, with acceptance and divergences so far."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from hype_ad.internal.progress import Bar
from hype_ad.internal.text import count
from jax import lax
from jaxtyping import Array, Bool, Float, Int


class Tally(NamedTuple):
    """What a part of a run, warm-up or draws, has come to so far."""

    steps: Int[Array, ""]  # transitions or draws that were made of each chain
    acceptance: Float[Array, ""]  # their mean acceptance probability
    divergences: Int[Array, ""]  # how many of all chains diverged


class Reporter(NamedTuple):
    """What the loops of a run call.

    Attributes:
        start: what a loop carries at first.
        step: called with what the loop carries, the name of the part, how many transitions are left, and the
            acceptance probability and the divergence of each chain; gives what to carry on.
        end: called with what the last loop has carried.
    """

    start: Tally | None
    step: Callable[..., Tally | None]
    end: Callable[[Tally | None], None]


SILENT = Reporter(None, lambda tally, *what_happened, every=1: tally, lambda tally: None)


def reporter(chains: Float[Array, " chains"], transitions: int, loud: Bool[Array, ""]) -> Reporter:
    """What tells of a run of so many transitions, if it is `loud`; `chains` are numbers that it starts with."""
    name = count(chains.size, "chain")
    bar = Bar(transitions, "transition", loud, lambda chains: "", chains)

    def step(
        tally: Tally,
        part: str,
        left: Int[Array, ""],
        acceptance: Float[Array, " chains"],
        divergent: Bool[Array, " chains"],
        every: int = 1,
    ) -> Tally:
        steps = tally.steps + 1
        mean = lax.stop_gradient(jnp.mean(acceptance)).astype(chains.dtype)
        tally = Tally(
            steps,
            tally.acceptance + (mean - tally.acceptance) / steps.astype(mean.dtype),
            tally.divergences + jnp.sum(divergent, dtype=jnp.int32),
        )
        text = lambda tally: f"acceptance={tally.acceptance:.2f}, divergences={tally.divergences}"
        bar.report(left, f"{name}, {part}", text, tally, every=every)
        return tally

    zero = jnp.zeros((), jnp.int32)
    end = lambda tally: bar.end(jnp.array(transitions), lambda seconds, made, tally: "", tally)
    return Reporter(Tally(zero, jnp.zeros((), chains.dtype), zero), step, end)
