"""Small problems with smooth losses, so that differences of float64 are worth comparing with."""

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_optim import Dataset
from jaxtyping import Array, Float


def valley(w):
    """A curved valley in two dimensions; its minimum is 0, at (1, 1)."""
    return (1 - w[0]) ** 2 + 2 * (w[1] - w[0] ** 2) ** 2


class Network(eqx.Module):
    """Three inputs, four tanh units, two outputs."""

    hidden: Float[Array, "4 3"]
    bias: Float[Array, "4"]
    out: Float[Array, "2 4"]

    def __call__(self, x):
        return self.out @ jnp.tanh(self.hidden @ x + self.bias)


def network(scale=0.5):
    keys = jax.random.split(jax.random.key(1), 2)
    return Network(
        scale * jax.random.normal(keys[0], (4, 3)), jnp.full(4, 0.1), scale * jax.random.normal(keys[1], (2, 4))
    )


def classes(rows=11):
    """Points in three dimensions in two classes that a plane does not quite separate."""
    x = jax.random.normal(jax.random.key(2), (rows, 3))
    return Dataset(x, (x[:, 0] * x[:, 1] > 0.1).astype(jnp.int32))


def regression(rows=11):
    """Points in three dimensions with two targets each."""
    x = jax.random.normal(jax.random.key(3), (rows, 3))
    return Dataset(x, jnp.stack([jnp.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1))
