"""Small problems with smooth losses, so that differences of float64 are worth comparing with."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
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


@jax.jit
def _normal_numbers():
    keys = jnp.stack([*jax.random.split(jax.random.key(1), 2), jax.random.key(2), jax.random.key(3)])
    return jax.vmap(lambda key: jax.random.normal(key, (200,)))(keys)


# Of four keys in one program; NumPy, which compiles nothing, cuts the problems from them.
_DRAWN = np.asarray(_normal_numbers())


def network(scale=0.5):
    hidden, out = _DRAWN[0, :12].reshape(4, 3), _DRAWN[1, :8].reshape(2, 4)
    return Network(*(jnp.asarray(w, float) for w in (scale * hidden, np.full(4, 0.1), scale * out)))


def classes(rows=12):
    """Points in three dimensions in two classes that a plane does not quite separate."""
    x = _DRAWN[2, : 3 * rows].reshape(rows, 3)
    return Dataset(x, (x[:, 0] * x[:, 1] > 0.1).astype(np.int32))


def regression(rows=12):
    """Points in three dimensions with two targets each."""
    x = _DRAWN[3, : 3 * rows].reshape(rows, 3)
    return Dataset(x, np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1))


def beale(w):
    """Beale's function; its minimum is 0, at (3, 0.5), and (0, 1) is a saddle of value 14.203."""
    x, y = w
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def rosenbrock(w):
    """Rosenbrock's valley in any number of dimensions; its minimum is 0, at ones."""
    return jnp.sum(100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2)


def himmelblau(w):
    """Himmelblau's function; it has four minima, all 0."""
    return (w[0] ** 2 + w[1] - 11) ** 2 + (w[0] + w[1] ** 2 - 7) ** 2


def one_of_three(which, w):
    """Beale's, Rosenbrock's or Himmelblau's function, for one program to serve all."""
    return jax.lax.switch(which, [beale, rosenbrock, himmelblau], w)


THREE_STARTS = np.array([[1.0, 1.5], [-1.2, 1.0], [0.0, 0.0]])
