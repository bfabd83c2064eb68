"""The entry point: chains side by side, warm-up and draws in one compiled program."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.captured import Watched
from hype_ad.internal.checks import boolean, check_key, instance, integer
from hype_ad.internal.closing import closure_convert
from hype_ad.internal.progress import clearing, is_plain
from jaxtyping import Array, ArrayLike, Int, PRNGKeyArray, PyTree

from ._checks import number
from ._constrained import Constrained
from ._custom_types import LogDensity, Position
from ._devices import Placement, can_be_read
from ._diagnostics import beyond_precision, frozen_for
from ._draws import Spent, draw
from ._hmc import DynamicHMC
from ._kernel import AbstractAdaptiveKernel, AbstractKernel
from ._logdensity import watched_logdensity
from ._mass import DiagonalMass
from ._model import AbstractModel
from ._noise import noise
from ._position import check_same_shape, first_of
from ._progress import SILENT, reporter
from ._refined import RefinedHMC
from ._resume import check_same_coordinates, resume
from ._samples import SamplerState, Samples
from ._start import check_start, number_of_chains, start, start_at
from ._warmup import Warmup, warm_up

_MOST_WARMUP = 500
_CHAINS_TO_AGREE = 4  # fewer say too little by agreeing


def sample(
    logdensity: LogDensity,
    x0: PyTree[Any] = None,
    kernel: AbstractKernel[Any, Any] | None = None,
    *,
    key: PRNGKeyArray | None = None,
    num_samples: int = 1000,
    num_warmup: int | None = None,
    num_chains: int | None = None,
    transform: PyTree[Any] = None,
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
    rejected transitions that came about: how acceptances change is not in it. With a `RandomLength` there is forward
    mode, or with `adjoint=ReversibleTrajectory()` reverse mode.
    Warm-up feeds on what it made, so the derivative through it explodes: adapt first, then differentiate with
    `num_warmup=0` and the adapted kernel.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_mcmc import sample
        >>> run = sample(lambda x: -0.5 * jnp.sum(x**2), jnp.zeros(2), key=jax.random.key(0), silent=True)
        >>> run.draws.shape  # chains, draws, numbers
        (4, 1000, 2)
        >>> bool(jnp.all(jnp.abs(run.draws.mean((0, 1))) < 0.1)), len(run.summary().warnings)
        (True, 0)

    Args:
        logdensity: from a position to one number, up to a constant. Of a pytree that is callable
            (`jax.tree_util.Partial(f, data)`, an Equinox module) the arrays are arguments of the program: new data
            of the same shapes does not recompile. A plain function is compiled again when a global, a closed-over
            variable or an attribute of its object that it reads has changed, where that can be seen. Or a model, such
            as `from_numpyro(model, data)`.
        x0: a position, around which chains start; or with `chained=True` one position for each chain, along the
            leading axes. Of parameters that have constraints, within them. Need not be given for a model that knows
            one, nor with `state`.
        kernel: where warm-up starts, or with `num_warmup=0` what is used as it is. An `HMC` with a `RandomLength` and
            a `DiagonalMass` if not given; and if a chain freezes with that, where it can be seen (not under `jit`), the
            draws are made anew with `RefinedHMC()`, for densities whose curvature changes along them, and a warning
            says so. A mass without numbers gets its shape from `x0`.
        key: what everything is drawn from.
        num_samples: draws to keep of each chain.
        num_warmup: transitions, not kept, that adapt step size, mass (unless it is a `UnitMass`) and trajectory
            length (if it is a `RandomLength`) of the kernel, from all chains together. With fewer than 20 only the
            step size. 0 for a kernel that is no `AbstractAdaptiveKernel`. If not given, as many as are needed: from
            250, when four chains agree soon (225, when eight do), to 500, which it is with fewer than four chains.
        num_chains: how many chains; 4, or as many as `x0` has.
        transform: the constraints of the parameters, such as `{"scale": Positive(), "shift": None}`: a pytree of
            transforms and None built like `x0`. The chains move without constraints, and the log density gets the
            Jacobian of the way there; `logdensity`, `x0` and the draws have the parameters themselves.
        chained: whether `x0` has a leading axis over chains.
        thin: transitions to each draw that is kept.
        spread: how far from `x0` chains start: uniform within it in each number, less where the log density is not
            finite.
        target_acceptance: the harmonic mean of the chains' acceptance probabilities that warm-up makes the step
            size for. Higher is slower and survives more curvature.
        first_chain: number of the first chain, to run some of many chains.
        state: `Samples.state` of a run to go on with. It has the positions, the kernel, the key and no need of
            warm-up; `x0` is only looked at for its structure. With another `logdensity` the chains go on from where
            they are, with the kernel as it was adapted, and their first draws are not yet of the new density.
        silent: whether to keep quiet; else a bar shows the progress of all chains, with acceptance and divergences
            so far. In a derivative and in a batch of runs all is silent.
        devices: what the chains are spread over, such as `jax.devices()`, those of all processes where there are
            several. Chain `i` is the same whatever they are, but for rounding. In a number that their number does not
            divide, or with several processes, the draws are on each device afterwards. Where the arrays are if not
            given.

    Returns:
        The draws with their diagnostics, and the state.

    Raises:
        ValueError: if the log density or its gradient is not finite at `x0`, or where the chains of `state` are (where
            values can be seen), if it is not one number, if shapes do not fit each other, if a number is out of its
            range, if `key` is missing, or if the kernel cannot be adapted and there is to be a warm-up.
        TypeError: if `x0` is not made of floats or an argument is not of its kind.
    """
    if transform is not None:
        if isinstance(logdensity, AbstractModel):
            raise ValueError("`transform` must be left out for a model, which has transforms of its own.")
        logdensity = Constrained(logdensity, transform)
    model = logdensity if isinstance(logdensity, AbstractModel) else None
    watched = watched_logdensity(logdensity)
    if kernel is not None:
        instance("kernel", kernel, AbstractKernel, "a kernel such as `HMC`")
    num_samples = integer("num_samples", num_samples, 1)
    may_end = num_warmup is None
    num_warmup = 0 if num_warmup is None else integer("num_warmup", num_warmup, 0)
    thin = integer("thin", thin, 1)
    boolean("chained", chained)
    boolean("silent", silent)

    if state is not None:
        x0 = None if x0 is None else start_at(model, x0, state, chained)
        _check_resumed(state, x0, kernel, key, num_warmup, num_chains, chained, model is not None)
        check_same_coordinates(watched, state)
        place = Placement(devices, state.keys.shape[0])
        logdensity, kernel = place.copy(watched), place.copy(state.kernel)
        chains = resume(kernel, logdensity, place.split(state.chains))
        state = SamplerState(chains, kernel, place.split(state.keys), place.copy(state.iteration))
        with clearing():
            run = _run(logdensity, state, None, place, num_samples, thin, silent)
            if told := noise(logdensity, run):
                warnings.warn(told, stacklevel=2)
            return _in_terms_of(model, watched, run)

    num_warmup = _MOST_WARMUP if may_end else num_warmup
    given = x0 is not None
    x0 = start_at(model, x0, None, chained)
    key = check_key("key", key)
    spread = number("spread", spread, lambda x: x >= 0, "at least 0")
    target = number("target_acceptance", target_acceptance, lambda x: (x > 0) & (x < 1), "above 0 and below 1")
    num_chains = number_of_chains(x0, num_chains, chained)
    is_default = kernel is None
    if kernel is None:
        kernel = DynamicHMC(1.0, 1.0, DiagonalMass())
    if num_warmup and not isinstance(kernel, AbstractAdaptiveKernel):
        raise ValueError(
            f"`num_warmup` must be 0 for a `{type(kernel).__name__}`, got {num_warmup}: warm-up adapts an "
            "`AbstractAdaptiveKernel`, such as `HMC`. What the first draws are not good for can be cut off them."
        )

    kernel = _shaped(kernel, first_of(x0) if chained else x0)

    place = Placement(devices, num_chains)
    chains = integer("first_chain", first_chain, 0) + jnp.arange(num_chains, dtype=jnp.int32)
    x0, chains = place.split(x0) if chained else place.copy(x0), place.split(chains)
    logdensity, kernel, key = place.copy(watched), place.copy(kernel), place.copy(key)
    begun = start(kernel, logdensity, x0, key, spread, chains, chained, given)
    check_start(place.readable(begun), chained, given)
    state = SamplerState(begun.states, kernel, begun.keys, jnp.zeros((), jnp.int32))
    may_end = may_end and num_chains >= _CHAINS_TO_AGREE
    warmup = Warmup(begun.warmup_keys, target, num_warmup, may_end) if num_warmup else None
    with clearing():
        run = _run(logdensity, state, warmup, place, num_samples, thin, silent)
        stay = _longest_stay(run) if is_default and warmup is not None else 0
        if told := noise(logdensity, run, is_frozen=stay > 0):
            warnings.warn(told, stacklevel=2)
        elif stay:
            warnings.warn(
                f"A chain stayed at one place for {stay} of {num_samples} draws: steps that fit elsewhere are too long "
                "there. So the draws were made anew with `kernel=RefinedHMC()`, which refines its steps: give it "
                "yourself to save the first run, or other coordinates, which may be cheaper.",
                stacklevel=2,
            )
            refined = _shaped(RefinedHMC(), first_of(begun.states.position))
            state = dataclasses.replace(state, kernel=place.copy(refined))
            before, run = run, _run(logdensity, state, warmup, place, num_samples, thin, silent)
            spent = before.warmup_steps + jnp.sum(before.num_steps, dtype=jnp.int32)
            run = dataclasses.replace(run, warmup_steps=run.warmup_steps + spent)
        return _in_terms_of(model, watched, run)


def _longest_stay(run: Samples) -> int:
    """For how many draws one of the chains is frozen, where that can be seen; 0 if none is."""
    if not all(map(can_be_read, jax.tree.leaves(run.draws))):
        return 0
    stays = frozen_for(np.asarray(_number_of_moves(run.draws), np.float64)[None])
    lost = beyond_precision(stays, np.asarray(run.acceptance), np.asarray(run.energy))
    return int(np.max(np.where(lost, 0, stays)))  # where numbers are at fault, other steps do not help


@jax.jit
def _number_of_moves(draws: Position) -> Int[Array, "chains draws"]:
    """How often each chain has moved until each draw, in any number: one alone may be too large to show it."""
    moved = [jnp.any(leaf[:, 1:] != leaf[:, :-1], axis=tuple(range(2, leaf.ndim))) for leaf in jax.tree.leaves(draws)]
    moved = jnp.any(jnp.stack(moved), axis=0)
    return jnp.cumsum(jnp.pad(moved, ((0, 0), (1, 0))), axis=1)


def _in_terms_of(model: AbstractModel | None, watched: Watched, run: Samples) -> Samples:
    """The run with its draws in the coordinates of the model."""
    if model is None:
        return run
    draws = _constrain(watched, run.draws)
    state = dataclasses.replace(run.state, parameters=jax.tree.map(lambda draws: draws[:, -1], draws))
    return dataclasses.replace(run, state=state, draws=draws, coordinates=run.draws, model=model)


@eqx.filter_jit
def _constrain(watched: Watched, positions: Position) -> PyTree[Array]:
    model: Any = watched.function
    return jax.vmap(jax.vmap(model.constrain))(positions)


def _shaped(kernel: AbstractKernel[Any, Any], position: Position) -> AbstractKernel[Any, Any]:
    """The kernel with a mass for such positions."""
    if not isinstance(kernel, AbstractAdaptiveKernel):
        return kernel
    return eqx.tree_at(lambda kernel: kernel.mass, kernel, kernel.mass.shaped(position))


@eqx.filter_jit
def _run(
    logdensity: LogDensity,
    state: SamplerState,
    warmup: Warmup | None,
    place: Placement,
    num_samples: int,
    thin: int,
    silent: bool,
) -> Samples:
    """Warm up, if that is wanted, and draw."""
    state = dataclasses.replace(state, chains=place.split_inside(state.chains), keys=place.split_inside(state.keys))
    transitions = thin * num_samples
    report = SILENT
    if not silent:
        converted = closure_convert(logdensity, first_of(state.chains.position))
        loud = is_plain((converted, state, warmup))
        total = transitions + (0 if warmup is None else warmup.num_transitions)
        report = reporter(state.chains.logdensity, total, loud)
    if warmup is None:
        return place.result(draw(logdensity, state, Spent.nothing(), num_samples, thin, report))
    state, spent = warm_up(logdensity, state, warmup, transitions, report)
    return place.result(draw(logdensity, state, spent, num_samples, thin, report))


def _check_resumed(
    state: SamplerState,
    x0: Position | None,
    kernel: AbstractKernel[Any, Any] | None,
    key: PRNGKeyArray | None,
    num_warmup: int,
    num_chains: int | None,
    chained: bool,
    is_unconstrained: bool,
) -> None:
    if not isinstance(state, SamplerState):
        raise TypeError(f"`state` must be the `state` of earlier `Samples`, got {type(state).__name__}.")
    had_model = state.parameters is not None
    if had_model != is_unconstrained:
        before, now = ("with", "without") if had_model else ("without", "with")
        raise ValueError(
            f"`state` is of a run {before} a model or a `transform`, and this one is {now}: its positions would be "
            "read in other coordinates."
        )
    if kernel is not None or key is not None:
        raise ValueError("`state` brings its kernel and key: leave out `kernel` and `key` when going on.")
    if num_warmup:
        raise ValueError(
            f"`num_warmup` must be left out or 0 with `state`, which brings an adapted kernel; got {num_warmup}. To "
            "adapt it anew, start where the run has stopped: `x0=jax.tree.map(lambda x: x[:, -1], run.draws)`, "
            "`chained=True`, `kernel=run.kernel` and a `key`."
        )
    chains = state.keys.shape[0]
    if num_chains not in (None, chains):
        raise ValueError(f"`num_chains` must be that of `state`, {chains}, or be left out; got {num_chains}.")
    if x0 is None:
        return
    like = state.chains.position if chained else first_of(state.chains.position)
    check_same_shape("x0", x0, like, "positions of `state`")
