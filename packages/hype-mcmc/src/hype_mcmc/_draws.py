"""Transitions of chains side by side, and the loop that keeps draws of them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from hype_ad import checkpointed_scan
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._custom_types import ChainKeys, LogDensity, Position
from ._kernel import AbstractAdaptiveKernel, AbstractKernel
from ._progress import Reporter, Tally
from ._samples import SamplerState, Samples

_GOLDEN = 2654435769  # the golden ratio's fraction of 2**32


def jitter_at(t: Int[Array, ""], dtype: jnp.dtype) -> Float[Array, ""]:
    """The number in (0, 1) that picks the length of the trajectories of transition `t`.

    Multiples of the golden ratio, which fill (0, 1) more evenly than random numbers. It is the same for all chains and
    depends on nothing that they do, so every transition still leaves the target density invariant, chains take equally
    many steps, and a chain alone takes the steps that it takes among others. In integers, so that it is exact for long
    runs. Hoffman, Radul and Sountsov (2021) use a Halton sequence for the same purpose.
    """
    bits = (t.astype(jnp.uint32) + 1) * jnp.uint32(_GOLDEN)
    return ((bits >> 9).astype(dtype) + 0.5) / 2**23


def advance(
    kernel: AbstractKernel[Any, Any],
    keys: ChainKeys,
    t: Int[Array, ""],
    states: PyTree,
    logdensity: LogDensity,
    scales: Float[Array, " chains"] | None = None,
) -> tuple[PyTree, Any]:
    """Transition `t` of each chain: the new states, and what happened.

    Of an adaptive kernel all trajectories pick their length by the same number; `scales` multiply its step sizes.
    """
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys, t)
    if not isinstance(kernel, AbstractAdaptiveKernel):
        return jax.vmap(lambda key, state: kernel.step(key, state, logdensity))(keys, states)
    dtype = kernel.step_size.dtype
    step = lambda key, state, scale: kernel.advance(key, state, logdensity, jitter_at(t, dtype), scale)
    if scales is None:
        return jax.vmap(step, (0, 0, None))(keys, states, jnp.ones((), dtype))
    return jax.vmap(step)(keys, states, scales)


class Spent(NamedTuple):
    """What warm-up took: steps of the integrator of all chains together, and transitions of each."""

    steps: Int[Array, ""]
    transitions: Int[Array, ""]

    @classmethod
    def nothing(cls) -> "Spent":
        """There was none yet."""
        return cls(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


class _Record(NamedTuple):
    """What is kept of a transition of each chain, or of the transitions to a draw; as `Samples` has it."""

    acceptance: Float[Array, "..."]
    energy: Float[Array, "..."]
    divergences: Bool[Array, "..."]
    num_steps: Int[Array, "..."]


def draw(
    logdensity: LogDensity,
    state: SamplerState,
    spent: Spent,
    num_samples: int,
    thin: int,
    report: Reporter,
) -> Samples:
    """Keep `num_samples` draws of each chain, one of `thin` transitions."""
    kernel, keys = state.kernel, state.keys

    def transition(chains: PyTree, t: Int[Array, ""]) -> tuple[PyTree, _Record]:
        chains, info = advance(kernel, keys, t, chains, logdensity)
        return chains, _Record(info.acceptance_rate, info.energy, info.is_divergent, info.num_integration_steps)

    def draw_once(
        carry: tuple[PyTree, Tally | None], i: Int[Array, ""]
    ) -> tuple[tuple[PyTree, Tally | None], tuple[Position, _Record]]:
        chains, tally = carry
        times = state.iteration + thin * i + jnp.arange(thin, dtype=jnp.int32)
        chains, each = jax.lax.scan(transition, chains, times)
        record = _Record(
            acceptance=jnp.mean(each.acceptance, axis=0),
            energy=each.energy[-1],
            divergences=jnp.any(each.divergences, axis=0),
            num_steps=jnp.sum(each.num_steps, axis=0, dtype=jnp.int32),
        )
        left = thin * (num_samples - 1 - i)
        tally = report.step(tally, "draws", left, record.acceptance, record.divergences, every=thin)
        return (chains, tally), (chains.position, record)

    carry = (state.chains, report.start)
    (chains, tally), kept = checkpointed_scan(draw_once, carry, jnp.arange(num_samples, dtype=jnp.int32))
    report.end(tally)
    draws, record = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), kept)
    after = SamplerState(chains, kernel, keys, state.iteration + thin * num_samples)
    return Samples(
        draws=draws, **record._asdict(), warmup_steps=spent.steps, warmup_transitions=spent.transitions, state=after
    )
