"""The entry point: chains side by side, warm-up and draws in one compiled program."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import checkpointed_scan
from hype_ad.internal.progress import clearing, is_plain
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray, PyTree

from . import _tree
from ._checks import count, instance, is_concrete, one_key, positive, scalar, within
from ._devices import Placement
from ._dynamic_hmc import DynamicHMC
from ._jitter import jitter_at
from ._kernel import AbstractKernel, HMCInfo, HMCState
from ._key import ChainKeys
from ._logdensity import LogDensity, check_logdensity
from ._mass import DiagonalMass
from ._progress import SILENT, Reporter, Tally, reporter
from ._samples import SamplerState, Samples
from ._start import start_around, start_at
from ._tree import Position
from ._warmup import warm_up

_NUM_CHAINS = 4


class Warmup(eqx.Module):
    """What warm-up needs beside a state."""

    keys: ChainKeys
    target_acceptance: Float[Array, ""]
    num_transitions: int = eqx.field(static=True)


def sample(
    logdensity: LogDensity,
    x0: PyTree[Any],
    kernel: AbstractKernel | None = None,
    *,
    key: PRNGKeyArray | None = None,
    num_samples: int = 1000,
    num_warmup: int = 500,
    num_chains: int | None = None,
    chained: bool = False,
    thin: int = 1,
    spread: ArrayLike = 1.0,
    target_acceptance: ArrayLike = 0.8,
    first_chain: int = 0,
    state: SamplerState | None = None,
    silent: bool = False,
    devices: Sequence[Any] | None = None,
) -> Samples:
    r"""Draw from a density, given the logarithm of it.

    The chains run side by side in one compiled program, warm-up included. Chain `i` draws from `fold_in(key, i)`, so
    that with a given kernel it does the same alone as among others, and transition `t` from `fold_in` of that and
    `t`, so that a run that goes on where another one stopped gives what one run would have given.

    With `num_warmup=0` and an `HMC` kernel, draws, energies and acceptance probabilities are differentiable in the
    kernel, in `x0` and in the arrays of `logdensity`, in reverse and forward mode to any order, for the accepted and
    rejected transitions that came about: how acceptances change is not in it. A `DynamicHMC` kernel has forward mode,
    or with `adjoint=Reversible()` reverse mode.
    Warm-up feeds on what it made, so the derivative through it explodes: adapt first, then differentiate with
    `num_warmup=0` and the adapted kernel.

    Args:
        logdensity: from a position to one number, up to a constant. Of a pytree that is callable
            (`jax.tree_util.Partial(f, data)`, an Equinox module) the arrays are arguments of the program: new data
            of the same shapes does not recompile.
        x0: a position, around which chains start; or with `chained=True` one position for each chain, along the
            leading axes.
        kernel: where warm-up starts, or with `num_warmup=0` what is used as it is. A `DynamicHMC` with a diagonal
            mass if not given.
        key: what everything is drawn from.
        num_samples: draws to keep of each chain.
        num_warmup: transitions, not kept, that adapt step size, mass (unless it is a `UnitMass`) and trajectory
            length (of a `DynamicHMC`) of the kernel, from all chains together. With fewer than 20 only the step size.
        num_chains: how many chains; 4, or as many as `x0` has.
        chained: whether `x0` has a leading axis over chains.
        thin: transitions to each draw that is kept.
        spread: how far from `x0` chains start: uniform within it in each number, less where the log density is not
            finite.
        target_acceptance: the harmonic mean of the chains' acceptance probabilities that warm-up makes the step
            size for. Higher is slower and survives more curvature.
        first_chain: number of the first chain, to run some of many chains.
        state: `Samples.state` of a run to go on with. It has the positions, the kernel, the key and no need of
            warm-up; `x0` is only looked at for its structure.
        silent: whether to keep quiet; else a bar shows the progress of all chains, with acceptance and divergences
            so far. In a derivative and in a batch of runs all is silent.
        devices: what the chains are spread over, such as `jax.devices()`, evenly. Where the arrays are if not given.

    Returns:
        The draws with their diagnostics, and the state.

    Raises:
        ValueError: if the log density or its gradient is not finite at `x0` (where values can be seen), if it is not
            one number, if shapes do not fit each other, if a number is out of its range, or if `key` is missing.
        TypeError: if `x0` is not made of floats or an argument is not of its kind.
    """
    logdensity = check_logdensity(logdensity)
    if kernel is not None:
        instance("kernel", kernel, AbstractKernel, "a kernel such as `HMC`")
    num_samples = count("num_samples", num_samples, at_least=1)
    num_warmup = count("num_warmup", num_warmup, at_least=0)
    thin = count("thin", thin, at_least=1)
    instance("chained", chained, bool, "True or False")
    instance("silent", silent, bool, "True or False")
    x0 = _tree.as_position("x0", x0)

    if state is not None:
        _check_resumed(state, x0, kernel, key, num_chains, chained)
        place = Placement(devices, state.chains.logdensity.shape[0])
        logdensity = place.copy(logdensity)
        state = SamplerState(
            place.split(state.chains), place.copy(state.kernel), place.split(state.keys), place.copy(state.iteration)
        )
        with clearing():
            return _run(logdensity, state, None, num_samples, thin, silent)

    key = one_key(key)
    within("spread", spread, 0.0, np.inf)
    positive("target_acceptance", target_acceptance)
    within("target_acceptance", target_acceptance, 0.0, 1.0)
    target = scalar("target_acceptance", target_acceptance)
    num_chains = _number_of_chains(x0, num_chains, chained)
    one_position = jax.tree.map(lambda x: x[0], x0) if chained else x0
    if kernel is None:
        kernel = DynamicHMC(1.0, 1.0, DiagonalMass(jax.tree.map(lambda x: np.ones(x.shape, x.dtype), one_position)))
    kernel.mass.check(one_position)

    place = Placement(devices, num_chains)
    chains = count("first_chain", first_chain, at_least=0) + jnp.arange(num_chains, dtype=jnp.int32)
    x0, chains = place.split(x0) if chained else place.copy(x0), place.split(chains)
    logdensity, kernel, key = place.copy(logdensity), place.copy(kernel), place.copy(key)
    starts, usable, warmup_keys, keys = _start(logdensity, x0, key, scalar("spread", spread), chains, chained)
    _check_starts(starts, usable, chained)
    state = SamplerState(starts, kernel, keys, jnp.zeros((), jnp.int32))
    warmup = Warmup(warmup_keys, target, num_warmup) if num_warmup else None
    with clearing():
        return _run(logdensity, state, warmup, num_samples, thin, silent)


@eqx.filter_jit
def _start(
    logdensity: LogDensity,
    x0: Position,
    key: PRNGKeyArray,
    spread: Float[Array, ""],
    chains: Int[Array, " chains"],
    chained: bool,
) -> tuple[HMCState, Bool[Array, " chains"], ChainKeys, ChainKeys]:
    def start(
        chain: Int[Array, ""], position: Position
    ) -> tuple[HMCState, Bool[Array, ""], PRNGKeyArray, PRNGKeyArray]:
        start_key, warmup_key, draw_key = jax.random.split(jax.random.fold_in(key, chain), 3)
        if chained:
            state, usable = start_at(position, logdensity)
        else:
            state, usable = start_around(start_key, position, logdensity, spread)
        return state, usable, warmup_key, draw_key

    return jax.vmap(start, (0, 0 if chained else None))(chains, x0)


@eqx.filter_jit
def _run(
    logdensity: LogDensity, state: SamplerState, warmup: Warmup | None, num_samples: int, thin: int, silent: bool
) -> Samples:
    """Warm up, if that is wanted, and draw."""
    num_warmup = 0 if warmup is None else warmup.num_transitions

    def run(state: SamplerState, report: Reporter) -> Samples:
        if warmup is None:
            return _draws(logdensity, state, jnp.zeros((), jnp.int32), num_samples, thin, report)
        chains, kernel, steps = warm_up(
            logdensity,
            state.chains,
            state.kernel,
            warmup.keys,
            warmup.target_acceptance,
            num_warmup,
            thin * num_samples,
            report,
        )
        state = SamplerState(chains, kernel, state.keys, state.iteration)
        return _draws(logdensity, state, steps, num_samples, thin, report)

    if silent:
        return run(state, SILENT)
    one_position = jax.tree.map(lambda x: x[0], state.chains.position)
    loud = is_plain((eqx.filter_closure_convert(logdensity, one_position), state, warmup))
    return run(state, reporter(state.chains.logdensity, num_warmup + thin * num_samples, loud))


def _draws(
    logdensity: LogDensity,
    state: SamplerState,
    warmup_steps: Int[Array, ""],
    num_samples: int,
    thin: int,
    report: Reporter,
) -> Samples:
    kernel, keys = state.kernel, state.keys
    dtype = kernel.step_size.dtype

    def transition(chains: HMCState, t: Int[Array, ""]) -> tuple[HMCState, HMCInfo]:
        jitter = jitter_at(t, dtype)
        chain_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, t)
        return jax.vmap(lambda key, chain: kernel.advance(key, chain, logdensity, jitter, jnp.ones((), dtype)))(
            chain_keys, chains
        )

    def draw(
        carry: tuple[HMCState, Tally | None], i: Int[Array, ""]
    ) -> tuple[tuple[HMCState, Tally | None], tuple[Position, Array, Array, Array, Array]]:
        chains, tally = carry
        first = state.iteration + thin * i

        def scalars(chains: HMCState, t: Int[Array, ""]) -> tuple[HMCState, tuple[Array, Array, Array, Array]]:
            chains, info = transition(chains, t)
            return chains, (info.acceptance_rate, info.energy, info.is_divergent, info.num_integration_steps)

        chains, (acceptance, energy, divergent, steps) = jax.lax.scan(
            scalars, chains, first + jnp.arange(thin, dtype=jnp.int32)
        )
        kept = (
            jnp.mean(acceptance, axis=0),
            energy[-1],
            jnp.any(divergent, axis=0),
            jnp.sum(steps, axis=0, dtype=jnp.int32),
        )
        tally = report.step(tally, "draws", thin * (num_samples - 1 - i), kept[0], kept[2], every=thin)
        return (chains, tally), (chains.position, *kept)

    draws = jnp.arange(num_samples, dtype=jnp.int32)
    (chains, tally), kept = checkpointed_scan(draw, (state.chains, report.start), draws)
    report.end(tally)
    draws, acceptance, energy, divergences, num_steps = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), kept)
    return Samples(
        draws=draws,
        acceptance=acceptance,
        energy=energy,
        divergences=divergences,
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        state=SamplerState(chains, kernel, keys, state.iteration + thin * num_samples),
    )


def _number_of_chains(x0: Position, num_chains: int | None, chained: bool) -> int:
    if num_chains is not None:
        num_chains = count("num_chains", num_chains, at_least=1)
    if not chained:
        return _NUM_CHAINS if num_chains is None else num_chains
    sizes = {leaf.shape[0] if leaf.ndim else None for leaf in jax.tree.leaves(x0)}
    if len(sizes) != 1 or None in sizes:
        shapes = [leaf.shape for leaf in jax.tree.leaves(x0)]
        raise ValueError(
            f"With `chained=True` the arrays of `x0` must share a leading axis over chains, got shapes {shapes}."
        )
    size = jax.tree.leaves(x0)[0].shape[0]
    if num_chains not in (None, size):
        raise ValueError(f"`num_chains` must be the leading axis of `x0`, {size}, or be left out; got {num_chains}.")
    return size


def _check_starts(starts: HMCState, usable: Bool[Array, " chains"], chained: bool) -> None:
    if not is_concrete(usable) or np.all(np.asarray(usable)):
        return
    if not chained:
        raise ValueError(
            "`x0` must have a finite log density and gradient, got NaN or infinity there. "
            "Choose a position inside the support."
        )
    wrong = np.flatnonzero(~np.asarray(usable))
    values = np.asarray(starts.logdensity)[wrong]
    raise ValueError(
        f"Each position of `x0` must have a finite log density and gradient; chains {wrong.tolist()} start with "
        f"log densities {values.tolist()}. Choose positions inside the support."
    )


def _check_resumed(
    state: SamplerState,
    x0: Position,
    kernel: AbstractKernel | None,
    key: PRNGKeyArray | None,
    num_chains: int | None,
    chained: bool,
) -> None:
    if not isinstance(state, SamplerState):
        raise TypeError(f"`state` must be the `state` of earlier `Samples`, got {type(state).__name__}.")
    if kernel is not None or key is not None:
        raise ValueError("`state` brings its kernel and key: leave out `kernel` and `key` when going on.")
    chains = state.chains.logdensity.shape[0]
    if num_chains not in (None, chains):
        raise ValueError(f"`num_chains` must be that of `state`, {chains}, or be left out; got {num_chains}.")
    like = state.chains.position if chained else jax.tree.map(lambda x: x[0], state.chains.position)
    _tree.same_shape("x0", x0, like, "positions of `state`")
