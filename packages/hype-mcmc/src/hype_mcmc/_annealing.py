"""Hamiltonian annealed importance sampling: an evidence lower bound with a gradient in everything."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import checkpointed_scan
from hype_ad.internal import tree
from hype_ad.internal.checks import check_entries, check_key, instance, integer
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, PyTree

from ._checks import positive
from ._custom_types import LogDensity, Position
from ._dynamics import Phase, drift, kick
from ._logdensity import value_and_gradient, watched_logdensity
from ._mass import AbstractMass, UnitMass, kinetic_energy
from ._position import as_gaussian, interpolate
from ._random import standard_normal


class AnnealedHMC(eqx.Module):
    r"""Draws from a Gaussian, carried to a density by leapfrogs without rejections.

    Step $k$ of $K$ refreshes the momentum, $\rho' = \eta \rho + \sqrt{1 - \eta^2} \xi$ with $\xi \sim N(0, M)$, and
    makes one leapfrog of length $h_k$ for the bridge $\pi_k \propto q^{1 - \beta_k} \tilde p^{\beta_k}$, $0 <
    \beta_1 < \dots < \beta_K = 1$. Since leapfrogs keep volume and refreshing keeps $N(0, M)$, the importance weight
    of the draw is $\log w = \log \tilde p(z_K) - \log q(z_0) + \sum_k (T(\rho'_k) - T(\rho_k))$ with $T$ the kinetic
    energies before and after each leapfrog, and $E[w] = Z$ whatever the settings (Neal 2005; Geffner and Domke 2021;
    Zhang et al. 2021).

    A pytree whose leaves are unconstrained: what must be positive is kept as its logarithm, $\eta$ and the schedule,
    whose differences $\beta_k - \beta_{k-1}$ are a softmax, as logits.

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
    logit_schedule: Float[Array, " steps"]
    logit_persistence: Float[Array, ""]
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
        self.mean, scale = as_gaussian(mean, scale)
        self.log_scale = jax.tree.map(jnp.log, scale)
        num_steps = integer("num_steps", num_steps, 1)
        steps = positive("step_size", step_size)
        if steps.shape not in ((), (num_steps,)):
            raise ValueError(f"`step_size` must be one number or {num_steps} of them, got shape {steps.shape}.")
        self.log_step_size = jnp.broadcast_to(jnp.log(steps), (num_steps,))
        self.logit_schedule = jnp.zeros((num_steps,), steps.dtype)
        check_entries("persistence", persistence, lambda x: (x >= 0) & (x < 1), "at least 0 and below 1")
        # 0 has no logit; a momentum that keeps a thousandth of itself is as good as new.
        kept = np.maximum(persistence, 1e-3)
        self.logit_persistence = jnp.asarray(np.log(kept / (1 - kept)), steps.dtype)
        self.mass = instance(
            "mass", UnitMass() if mass is None else mass, AbstractMass, "a mass such as `DiagonalMass`"
        )
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
        start_key, momentum_key, refresh_key = jax.random.split(check_key("key", key), 3)
        noise = standard_normal(start_key, self.mean)
        z = jax.tree.map(lambda m, s, e: m + jnp.exp(s) * e, self.mean, self.log_scale, noise)
        start_logdensity = self._gaussian(z)
        eta = jax.nn.sigmoid(self.logit_persistence)
        # The root of 1 - eta^2, without cancellation.
        fresh = jnp.sqrt(jax.nn.sigmoid(-self.logit_persistence) * (1 + eta))

        def step(
            carry: tuple[Phase, Float[Array, ""]], x: tuple[Int[Array, ""], Float[Array, ""], Float[Array, ""]]
        ) -> tuple[tuple[Phase, Float[Array, ""]], None]:
            (phase, work), (k, beta, log_step) = carry, x
            q, h = phase.position, jnp.exp(log_step)
            xi = self.mass.draw(standard_normal(jax.random.fold_in(refresh_key, k), q))
            p = tree.axpy(eta, phase.momentum, tree.scale(fresh, xi))
            before = kinetic_energy(self.mass, p)
            p = kick(0.5 * h, self._bridge(beta, q, phase.logdensity_grad), p)
            q = drift(h, self.mass, p, q)
            value, gradient = value_and_gradient(logdensity, q)
            p = kick(0.5 * h, self._bridge(beta, q, gradient), p)
            work = work + (before - kinetic_energy(self.mass, p)).astype(work.dtype)
            return (Phase(q, p, value, gradient), work), None

        beta = jnp.cumsum(jax.nn.softmax(self.logit_schedule))
        steps = (jnp.arange(beta.size, dtype=jnp.int32), beta, self.log_step_size)
        start = Phase(z, self.mass.draw(standard_normal(momentum_key, z)), *value_and_gradient(logdensity, z))
        (end, work), _ = checkpointed_scan(step, (start, jnp.zeros_like(start.logdensity)), steps)
        return end.position, end.logdensity - start_logdensity.astype(work.dtype) + work

    def _gaussian(self, z: Position) -> Float[Array, ""]:
        standardized = jax.tree.map(lambda x, m, s: (x - m) * jnp.exp(-s), z, self.mean, self.log_scale)
        constant = jax.tree.map(lambda s: jnp.sum(s + 0.5 * jnp.log(2 * jnp.pi).astype(s.dtype)), self.log_scale)
        return -0.5 * tree.squared_norm(standardized) - tree.sum_of(constant)

    def _bridge(self, beta: Float[Array, ""], z: Position, gradient: Position) -> Position:
        """The gradient of the log density of a bridge."""
        return interpolate(beta, jax.grad(self._gaussian)(z), gradient)


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
    num_draws = integer("num_draws", num_draws, 1)
    instance("sampler", sampler, AnnealedHMC, "an `AnnealedHMC`")
    return _mean_log_weight(sampler, watched_logdensity(logdensity), check_key("key", key), num_draws)


@eqx.filter_jit
def _mean_log_weight(
    sampler: AnnealedHMC, logdensity: LogDensity, key: PRNGKeyArray, num_draws: int
) -> Float[Array, ""]:
    keys = jax.random.split(key, num_draws)
    return jnp.mean(jax.vmap(lambda key: sampler.draw(key, logdensity)[1])(keys))
