"""Hamiltonian annealed importance sampling: an evidence lower bound with a gradient in everything."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import checkpointed_scan
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, PyTree

from . import _tree
from ._checks import count, finite, float_array, instance, one_key, positive, within
from ._hmc import check_mass
from ._logdensity import LogDensity, check_logdensity, value_and_gradient
from ._mass import AbstractMass, kinetic_energy
from ._tree import Position


class AnnealedHMC(eqx.Module):
    r"""Draws from a Gaussian, carried to a density by leapfrogs without rejections.

    Step $k$ of $K$ refreshes the momentum, $\rho' = \eta \rho + \sqrt{1 - \eta^2} \xi$ with $\xi \sim N(0, M)$, and
    makes one leapfrog of length $h_k$ for the bridge $\pi_k \propto q^{1 - \beta_k} \tilde p^{\beta_k}$, $0 <
    \beta_1 < \dots < \beta_K = 1$. Since leapfrogs keep volume and refreshing keeps $N(0, M)$, the importance weight
    of the draw is $\log w = \log \tilde p(z_K) - \log q(z_0) + \sum_k (T(\rho'_k) - T(\rho_k))$ with $T$ the kinetic
    energies before and after each leapfrog, and $E[w] = Z$ whatever the settings (Neal 2005; Geffner and Domke 2021;
    Zhang et al. 2021).

    A pytree whose leaves are free to move: what must be positive is kept as its logarithm, the schedule and $\eta$
    as logits.

    Args:
        mean: mean of the Gaussian, a position.
        scale: its standard deviations, one number or built like the position.
        step_size: $h$, positive; one number, or one for each step.
        num_steps: $K$, at least 1.
        mass: $M$.
        persistence: $\eta$, from 0 (a new momentum at each step) to below 1.

    Raises:
        ValueError: if a number is out of its range or a shape does not fit.
        TypeError: if `mean` is not made of floats, `num_steps` is not an integer or `mass` not a mass.
    """

    mean: Position
    log_scale: Position
    log_step_size: Float[Array, " steps"]
    schedule: Float[Array, " steps"]
    persistence: Float[Array, ""]
    mass: AbstractMass

    def __init__(
        self,
        mean: PyTree[Any],
        scale: PyTree[Any] = 1.0,
        *,
        step_size: ArrayLike = 0.1,
        num_steps: int = 10,
        mass: AbstractMass | None = None,
        persistence: float = 0.9,
    ):
        self.mean = _tree.as_position("mean", mean)
        jax.tree.map(lambda leaf: finite("mean", leaf), mean)
        jax.tree.map(lambda leaf: positive("scale", leaf), scale)
        scale = _tree.as_position("scale", scale)
        if isinstance(scale, jax.Array) and scale.ndim == 0:
            scale = jax.tree.map(lambda m: jnp.full_like(m, scale.astype(m.dtype)), self.mean)
        _tree.same_shape("scale", scale, self.mean, "mean")
        self.log_scale = jax.tree.map(jnp.log, scale)
        num_steps = count("num_steps", num_steps, at_least=1)
        positive("step_size", step_size)
        steps = float_array("step_size", step_size)
        if steps.shape not in ((), (num_steps,)):
            raise ValueError(f"`step_size` must be one number or {num_steps} of them, got shape {steps.shape}.")
        self.log_step_size = jnp.broadcast_to(jnp.log(steps), (num_steps,))
        self.schedule = jnp.zeros((num_steps,), steps.dtype)
        within("persistence", persistence, 0.0, 1.0)
        # 0 has no logit; a momentum that keeps a thousandth of itself is as good as new.
        kept = np.maximum(persistence, 1e-3)
        self.persistence = jnp.asarray(np.log(kept / (1 - kept)), steps.dtype)
        self.mass = check_mass(mass)
        self.mass.check(self.mean)

    def draw(self, key: PRNGKeyArray, logdensity: LogDensity) -> tuple[Position, Float[Array, ""]]:
        r"""One draw with its weight.

        Differentiable in this sampler and the arrays of `logdensity`, in reverse and forward mode; reverse mode
        keeps about $2 \sqrt{K}$ states.

        Args:
            key: what the start and the momenta are drawn from.
            logdensity: $\log \tilde p$, from a position to one number.

        Returns:
            The position $z_K$ and $\log w$.
        """
        start_key, momentum_key, refresh_key = jax.random.split(one_key(key), 3)
        noise = _tree.standard_normal(start_key, self.mean)
        z = jax.tree.map(lambda m, s, e: m + jnp.exp(s) * e, self.mean, self.log_scale, noise)
        start_logdensity = self._gaussian(z)
        value, gradient = value_and_gradient(logdensity, z)
        eta = jax.nn.sigmoid(self.persistence)
        fresh = jnp.sqrt(jax.nn.sigmoid(-self.persistence) * (1 + eta))  # the root of 1 - eta^2, without cancellation

        def step(carry, x):
            (z, rho, value, gradient, work), (k, beta, log_step) = carry, x
            h = jnp.exp(log_step)
            xi = self.mass.draw(_tree.standard_normal(jax.random.fold_in(refresh_key, k), z))
            rho = _tree.axpy(eta, rho, _tree.scale(fresh, xi))
            before = kinetic_energy(self.mass, rho)
            rho = _tree.axpy(0.5 * h, self._bridge(beta, z, gradient), rho)
            z = _tree.axpy(h, self.mass.velocity(rho), z)
            value, gradient = value_and_gradient(logdensity, z)
            rho = _tree.axpy(0.5 * h, self._bridge(beta, z, gradient), rho)
            work = work + (before - kinetic_energy(self.mass, rho)).astype(work.dtype)
            return (z, rho, value, gradient, work), None

        beta = jnp.cumsum(jax.nn.softmax(self.schedule))
        steps = (jnp.arange(self.schedule.shape[0], dtype=jnp.int32), beta, self.log_step_size)
        carry = (z, self.mass.draw(_tree.standard_normal(momentum_key, z)), value, gradient, jnp.zeros_like(value))
        (z, _, value, _, work), _ = checkpointed_scan(step, carry, steps)
        return z, value - start_logdensity.astype(value.dtype) + work

    def _gaussian(self, z: Position) -> Float[Array, ""]:
        standardized = jax.tree.map(lambda x, m, s: (x - m) * jnp.exp(-s), z, self.mean, self.log_scale)
        constant = jax.tree.map(lambda s: s + 0.5 * jnp.log(2 * jnp.pi).astype(s.dtype), self.log_scale)
        return -0.5 * _tree.dot(standardized, standardized) - _tree.total(constant)

    def _bridge(self, beta: Float[Array, ""], z: Position, gradient: Position) -> Position:
        """The gradient of the log density of a bridge."""
        return _tree.lerp(beta, jax.grad(self._gaussian)(z), gradient)


def elbo(sampler: AnnealedHMC, logdensity: LogDensity, *, key: PRNGKeyArray, num_draws: int = 16) -> Float[Array, ""]:
    r"""The evidence lower bound of an annealed sampler: the mean of $\log w$ over its draws.

    A lower bound of $\log Z = \log \int e^{\text{logdensity}}$ in expectation. The higher it is, the nearer the
    draws are to the density. Differentiable in all parameters of the sampler (start, step sizes, schedule,
    persistence and mass) and in the arrays of `logdensity`, by one path through all draws.

    Args:
        sampler: what draws.
        logdensity: from a position to one number.
        key: what the draws are made from. The same key makes it a fixed function of the sampler.
        num_draws: how many draws to average.

    Returns:
        The estimate of the bound.

    Raises:
        ValueError: if `num_draws` is below 1, `key` is missing or the log density is not one number.
        TypeError: if `num_draws` is not an integer, or another argument is not of its kind.
    """
    num_draws = count("num_draws", num_draws, at_least=1)
    instance("sampler", sampler, AnnealedHMC, "an `AnnealedHMC`")
    return _mean_log_weight(sampler, check_logdensity(logdensity), one_key(key), num_draws)


@eqx.filter_jit
def _mean_log_weight(
    sampler: AnnealedHMC, logdensity: LogDensity, key: PRNGKeyArray, num_draws: int
) -> Float[Array, ""]:
    keys = jax.random.split(key, num_draws)
    return jnp.mean(jax.vmap(lambda key: sampler.draw(key, logdensity)[1])(keys))
