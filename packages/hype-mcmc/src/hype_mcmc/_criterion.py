"""Criteria that a kernel can be tuned by: smooth functions of it that any optimizer can maximize."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import check_key, instance
from hype_ad.internal.tree import squared_norm, subtract
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ._checks import positive
from ._custom_types import LogDensity, Position
from ._kernel import AbstractAdaptiveKernel
from ._logdensity import watched_logdensity
from ._position import as_position, check_same_shape, first_of, leading_axis, mean_of
from ._transition import HMCInfo


def expected_squared_jump(
    kernel: AbstractAdaptiveKernel,
    logdensity: LogDensity,
    positions: PyTree[Any],
    *,
    key: PRNGKeyArray,
    scale: PyTree[Any] | None = None,
) -> Float[Array, ""]:
    r"""The squared distance that a transition is expected to cover (Pasarica and Gelman 2010): larger is better.

    The mean over chains of $\alpha \sum_i ((x'_i - x_i) / s_i)^2$ for trajectories from $x$ to $x'$ that would be
    accepted with probability $\alpha$: the expectation over the acceptance, so that it is smooth in all that makes a
    trajectory. Differentiable in the kernel, the positions, the scales and the arrays of `logdensity`; in reverse
    mode for `HMC`.

    The sum is what the widest direction says. Scales, such as the standard deviations of a pilot run, make
    directions equal. To weigh kernels of different numbers of steps, divide by the steps.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_mcmc import HMC, expected_squared_jump
        >>> positions = jax.random.normal(jax.random.key(0), (100, 2))
        >>> f = lambda x: -0.5 * jnp.sum(x**2)
        >>> jump = lambda step_size: expected_squared_jump(HMC(step_size, 3), f, positions, key=jax.random.key(1))
        >>> bool(jax.grad(jump)(0.1) > 0)  # longer steps go further
        True

    Args:
        kernel: the kernel to judge.
        logdensity: what it samples.
        positions: one position for each chain along the leading axes, drawn (nearly) from the density.
        key: what momenta and jitter are drawn from. The same key makes it a fixed function of the kernel.
        scale: $s$, built like one position; ones if not given.

    Returns:
        The mean over the chains. A trajectory that ends where the density is not finite counts as no jump; NaN if one
        starts there.

    Raises:
        ValueError: if the mass or `scale` does not fit a position, `scale` is not positive, leading axes differ, or
            `key` is missing.
        TypeError: if the positions are not made of floats, or an argument is not of its kind.
    """
    positions = _check(kernel, positions)
    if scale is not None:
        scale = as_position("scale", scale, positive)
        check_same_shape("scale", scale, first_of(positions))
    return _expected_squared_jump(kernel, watched_logdensity(logdensity), positions, check_key("key", key), scale)


def chees(
    kernel: AbstractAdaptiveKernel, logdensity: LogDensity, positions: PyTree[Any], *, key: PRNGKeyArray
) -> Float[Array, ""]:
    r"""The change in the estimator of the expected square (Hoffman, Radul and Sountsov 2021): larger is better.

    The mean over chains of $\frac14 \alpha (|x' - m'|^2 - |x - m|^2)^2$, with $m$ and $m'$ the means over the chains
    of where trajectories begin and end. Unlike the squared jump it does not reward a trajectory for ending opposite
    to where it began. Differentiable as `expected_squared_jump` is.

    Args:
        kernel: the kernel to judge.
        logdensity: what it samples.
        positions: at least two positions along the leading axes, drawn (nearly) from the density.
        key: what momenta and jitter are drawn from.

    Returns:
        The mean over the chains. A trajectory that ends where the density is not finite counts as no change; NaN if one
        starts there.

    Raises:
        ValueError: if there are fewer than two chains, the mass does not fit a position, leading axes differ, or
            `key` is missing.
        TypeError: if the positions are not made of floats, or an argument is not of its kind.
    """
    positions = _check(kernel, positions)
    chains = leading_axis("`positions`", positions)
    if chains < 2:
        raise ValueError(f"`positions` must be of at least two chains, to have a mean to change about; got {chains}.")
    return _chees(kernel, watched_logdensity(logdensity), positions, check_key("key", key))


def _check(kernel: AbstractAdaptiveKernel, positions: PyTree[Any]) -> Position:
    """The positions of chains, if the kernel fits them."""
    instance("kernel", kernel, AbstractAdaptiveKernel, "a kernel that follows trajectories, such as `HMC`")
    positions = as_position("positions", positions)
    leading_axis("`positions`", positions)
    kernel.mass.check(first_of(positions))
    return positions


@eqx.filter_jit
def _expected_squared_jump(
    kernel: AbstractAdaptiveKernel,
    logdensity: LogDensity,
    positions: Position,
    key: PRNGKeyArray,
    scale: Position | None,
) -> Float[Array, ""]:
    def jump(position: Position, info: HMCInfo) -> Float[Array, ""]:
        difference = subtract(info.proposal.position, position)
        if scale is not None:
            difference = jax.tree.map(lambda d, s: d / s.astype(d.dtype), difference, scale)
        return _weighted(info, squared_norm(difference))

    infos = _transitions(kernel, logdensity, positions, key)
    return jnp.mean(jax.vmap(jump)(positions, infos))


@eqx.filter_jit
def _chees(
    kernel: AbstractAdaptiveKernel, logdensity: LogDensity, positions: Position, key: PRNGKeyArray
) -> Float[Array, ""]:
    infos = _transitions(kernel, logdensity, positions, key)
    starts, ends = _squared_distances(positions), _squared_distances(infos.proposal.position)
    return jnp.mean(jax.vmap(_weighted)(infos, 0.25 * (ends - starts) ** 2))


def _squared_distances(positions: Position) -> Float[Array, " chains"]:
    """To the mean over the chains."""
    deviations = jax.vmap(subtract, (0, None))(positions, mean_of(positions))
    return jax.vmap(squared_norm)(deviations)


def _transitions(
    kernel: AbstractAdaptiveKernel, logdensity: LogDensity, positions: Position, key: PRNGKeyArray
) -> HMCInfo:
    def transition(chain: Array, position: Position) -> HMCInfo:
        state = kernel.init(position, logdensity)
        info = kernel.step(jax.random.fold_in(key, chain), state, logdensity)[1]
        # A rejected jump from a place that is none would look like a kernel that does not move.
        rate = jnp.where(jnp.isfinite(state.logdensity), info.acceptance_rate, jnp.nan)
        return eqx.tree_at(lambda info: info.acceptance_rate, info, rate)

    return jax.vmap(transition)(jnp.arange(leading_axis("`positions`", positions), dtype=jnp.int32), positions)


def _weighted(info: HMCInfo, x: Float[Array, ""]) -> Float[Array, ""]:
    return info.acceptance_rate * x.astype(info.acceptance_rate.dtype)
