"""The step size, by dual averaging."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

_SHRINKAGE = 0.05  # gamma, t0 and kappa of the paper, section 3.2.1
_DELAY = 10.0
_FORGETTING = 0.75
_LEAST_ACCEPTANCE = 0.05
_SCALE_MEMORY = 0.95  # a chain that never accepts goes down to steps of exp(-0.3 * 0.8 / 0.05), a hundredth
_SCALE_RATE = 0.3


class DualAveraging(eqx.Module):
    """Dual averaging of Hoffman and Gelman (2014, algorithm 5), of one step size for all chains."""

    log_step: Float[Array, ""]  # logarithm of the step size to use next
    log_average: Float[Array, ""]  # logarithm of the step size to keep in the end
    error: Float[Array, ""]  # how far acceptance was from its target, averaged
    center: Float[Array, ""]  # what the logarithm is drawn to
    count: Float[Array, ""]  # how many transitions have been seen

    @classmethod
    def start(cls, log_step: Float[Array, ""]) -> "DualAveraging":
        """Begin at a step size, expecting that ten times of it is possible."""
        zero = jnp.zeros_like(log_step)
        center = log_step + jnp.log(jnp.asarray(10.0, log_step.dtype))
        return cls(log_step, log_step, error=zero, center=center, count=zero)

    def update(self, acceptance: Float[Array, ""], target: Float[Array, ""]) -> "DualAveraging":
        """Learn from the acceptance probability of one transition."""
        count = self.count + 1
        weight = 1 / (count + _DELAY)
        error = (1 - weight) * self.error + weight * (target - acceptance)
        log_step = self.center - jnp.sqrt(count) / _SHRINKAGE * error
        forget = count**-_FORGETTING
        log_average = forget * log_step + (1 - forget) * self.log_average
        return DualAveraging(log_step, log_average, error, self.center, count)


def harmonic_mean(acceptance: Float[Array, " chains"]) -> Float[Array, ""]:
    """The mean of the acceptance probabilities in which the chain that accepts least has the largest say.

    Hoffman, Radul and Sountsov (2021) use it as well. With the arithmetic mean the step size fits where most chains
    are, and the chain that comes to where the density is steeper stays there. A chain that never accepts counts as
    one that does a twentieth of the time, so that the others are still heard.
    """
    return 1 / jnp.mean(1 / jnp.maximum(acceptance, _LEAST_ACCEPTANCE))


def follow_acceptance(
    log_scale: Float[Array, " chains"], acceptance: Float[Array, " chains"]
) -> Float[Array, " chains"]:
    """How much larger or smaller a step each chain takes at first: the logarithm, after one more transition.

    A chain that accepts less than the others takes smaller steps until it catches up. Without this one chain that
    starts where the density is steep either stays there, when many others outvote it, or holds all of them back.
    """
    return _SCALE_MEMORY * log_scale + _SCALE_RATE * (acceptance - jnp.mean(acceptance))
