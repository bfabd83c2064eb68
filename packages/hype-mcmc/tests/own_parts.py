"""Parts of one's own, written with nothing but public names: kernels, a mass, a length, an adjoint."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_mcmc import (
    HMC,
    AbstractAdaptiveKernel,
    AbstractKernel,
    AbstractLength,
    AbstractMass,
    AbstractTrajectoryAdjoint,
    Moments,
)
from jaxtyping import Array, Bool, Float, Int


class LangevinState(NamedTuple):
    position: Float[Array, " n"]
    logdensity: Float[Array, ""]
    drift: Float[Array, " n"]


class LangevinInfo(NamedTuple):
    acceptance_rate: Float[Array, ""]
    is_divergent: Bool[Array, ""]
    energy: Float[Array, ""]
    num_integration_steps: Int[Array, ""]


class MALA(AbstractKernel[LangevinState, LangevinInfo]):
    """The Metropolis-adjusted Langevin algorithm (Roberts and Tweedie 1996)."""

    step_size: Float[Array, ""]

    def init(self, position, logdensity):
        value, gradient = jax.value_and_grad(logdensity)(position)
        return LangevinState(position, value, 0.5 * self.step_size**2 * gradient)

    def step(self, key, state, logdensity):
        noise_key, accept_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, state.position.shape, state.position.dtype)
        new = self.init(state.position + state.drift + self.step_size * noise, logdensity)
        back = (state.position - new.position - new.drift) / self.step_size
        log_ratio = new.logdensity - state.logdensity + 0.5 * jnp.sum(noise**2) - 0.5 * jnp.sum(back**2)
        rate = jnp.exp(jnp.minimum(log_ratio, 0.0))
        accepted = jax.random.uniform(accept_key, (), rate.dtype) < rate
        kept = jax.tree.map(lambda x, y: jnp.where(accepted, x, y), new, state)
        info = LangevinInfo(rate, jnp.array(False), jnp.full_like(rate, jnp.nan), jnp.array(1))
        return kept, info


class ScalarMass(AbstractMass):
    """A multiple of the identity."""

    scale: Float[Array, ""]

    def check(self, position):
        if position.ndim != 1:
            raise ValueError(f"`position` must be a vector, got shape {position.shape}.")

    def draw(self, noise):
        return jnp.sqrt(self.scale) * noise

    def velocity(self, momentum):
        return momentum / self.scale

    def momentum(self, velocity):
        return self.scale * velocity

    def shaped(self, position):
        return self

    def statistics(self, position):
        return Moments.start(self.mean_product, position)

    def update(self, statistics, positions, gradients):
        return statistics.update(self.mean_product, positions)

    def adapted(self, statistics):
        return ScalarMass(1 / statistics.covariance())

    @staticmethod
    def mean_product(x, y):
        return jnp.mean(x * y)


class ExponentialLength(AbstractLength):
    """Exponentially distributed lengths (Bou-Rabee and Sanz-Serna 2017)."""

    mean: Float[Array, ""]
    max_steps: int = eqx.field(static=True, default=200)

    def pick(self, u, step_size):
        steps = jnp.ceil(-self.mean * jnp.log1p(-u) / step_size)
        return jnp.clip(steps, 1, self.max_steps).astype(jnp.int32), jnp.ones_like(u)

    def is_random(self):
        return True

    def most_steps(self):
        return self.max_steps

    def mean_length(self, step_size):
        return self.mean

    def adapted(self, mean_length):
        return ExponentialLength(mean_length, self.max_steps)


class TwoTransitions(AbstractAdaptiveKernel):
    """Two transitions of Hamiltonian Monte Carlo as one, of which warm-up sees the second."""

    step_size: Float[Array, ""]
    mass: AbstractMass
    length: AbstractLength

    def init(self, position, logdensity):
        return HMC(self.step_size, self.length, self.mass).init(position, logdensity)

    def step(self, key, state, logdensity):
        return self.advance(key, state, logdensity, jnp.asarray(0.5), jnp.asarray(1.0))

    def advance(self, key, state, logdensity, jitter, scale):
        kernel = HMC(self.step_size, self.length, self.mass)
        first, second = jax.random.split(key)
        state, _ = kernel.advance(first, state, logdensity, jitter, scale)
        return kernel.advance(second, state, logdensity, jitter, scale)


class Unrolled(AbstractTrajectoryAdjoint):
    """Keeps every step of a known number of them."""

    def trajectory(self, start, dynamics, num_steps):
        return jax.lax.scan(lambda phase, _: (dynamics.step(phase), None), start, length=num_steps)[0]
