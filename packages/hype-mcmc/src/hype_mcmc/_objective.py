"""What a kernel can be tuned by: smooth functions of a kernel that any optimizer can climb."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from . import _tree
from ._checks import instance, one_key, positive
from ._kernel import AbstractKernel, HMCInfo
from ._logdensity import LogDensity, check_logdensity
from ._tree import Position


def expected_squared_jump(
    kernel: AbstractKernel,
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
    instance("kernel", kernel, AbstractKernel, "a kernel such as `HMC`")
    logdensity, key = check_logdensity(logdensity), one_key(key)
    positions = _tree.as_position("positions", positions)
    one_position = _first(positions)
    kernel.mass.check(one_position)
    if scale is not None:
        jax.tree.map(lambda leaf: positive("scale", leaf), scale)
        scale = _tree.as_position("scale", scale)
        _tree.same_shape("scale", scale, one_position)
    return _expected_squared_jump(kernel, logdensity, positions, key, scale)


def chees(
    kernel: AbstractKernel, logdensity: LogDensity, positions: PyTree[Any], *, key: PRNGKeyArray
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
    instance("kernel", kernel, AbstractKernel, "a kernel such as `HMC`")
    logdensity, key = check_logdensity(logdensity), one_key(key)
    positions = _tree.as_position("positions", positions)
    kernel.mass.check(_first(positions))
    chains = _number_of_chains(positions)
    if chains < 2:
        raise ValueError(f"`positions` must be of at least two chains, to have a mean to change about; got {chains}.")
    return _chees(kernel, logdensity, positions, key)


@eqx.filter_jit
def _expected_squared_jump(
    kernel: AbstractKernel,
    logdensity: LogDensity,
    positions: Position,
    key: PRNGKeyArray,
    scale: Position | None,
) -> Float[Array, ""]:
    def jump(position: Position, info: HMCInfo) -> Float[Array, ""]:
        difference = _tree.subtract(info.proposal.position, position)
        if scale is not None:
            difference = jax.tree.map(lambda d, s: d / s.astype(d.dtype), difference, scale)
        return _weighted(info, _tree.dot(difference, difference))

    infos = _transitions(kernel, logdensity, positions, key)
    return jnp.mean(jax.vmap(jump)(positions, infos))


@eqx.filter_jit
def _chees(kernel: AbstractKernel, logdensity: LogDensity, positions: Position, key: PRNGKeyArray) -> Float[Array, ""]:
    infos = _transitions(kernel, logdensity, positions, key)
    starts, ends = _squared_distances(positions), _squared_distances(infos.proposal.position)
    return jnp.mean(jax.vmap(_weighted)(infos, 0.25 * (ends - starts) ** 2))


def _squared_distances(positions: Position) -> Float[Array, " chains"]:
    """To the mean over the chains."""
    mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), positions)
    deviations = jax.vmap(_tree.subtract, (0, None))(positions, mean)
    return jax.vmap(_tree.dot)(deviations, deviations)


def _transitions(kernel: AbstractKernel, logdensity: LogDensity, positions: Position, key: PRNGKeyArray) -> HMCInfo:
    def transition(chain: Array, position: Position) -> HMCInfo:
        state = kernel.init(position, logdensity)
        info = kernel.step(jax.random.fold_in(key, chain), state, logdensity)[1]
        # A rejected jump from a place that is none would look like a kernel that does not move.
        rate = jnp.where(jnp.isfinite(state.logdensity), info.acceptance_rate, jnp.nan)
        return eqx.tree_at(lambda info: info.acceptance_rate, info, rate)

    return jax.vmap(transition)(jnp.arange(_number_of_chains(positions), dtype=jnp.int32), positions)


def _weighted(info: HMCInfo, x: Float[Array, ""]) -> Float[Array, ""]:
    return info.acceptance_rate * x.astype(info.acceptance_rate.dtype)


def _first(positions: Position) -> Position:
    _number_of_chains(positions)
    return jax.tree.map(lambda x: x[0], positions)


def _number_of_chains(positions: Position) -> int:
    shapes = [leaf.shape for leaf in jax.tree.leaves(positions)]
    sizes = {shape[:1] for shape in shapes}
    if len(sizes) != 1 or () in sizes:
        raise ValueError(f"`positions` must share a leading axis over chains, got shapes {shapes}.")
    return shapes[0][0]
