"""The gated recurrent unit."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from hype_ad.internal.checks import check_key, integer
from jax.nn import sigmoid
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ._checks import optional
from ._initializer import AbstractInitializer, InitStandard
from ._recurrence import AbstractRecurrent, Recurrence, projection, stacked


class GRU(AbstractRecurrent):
    r"""The gated recurrent unit (Cho et al. 2014).

    $$
    \begin{aligned}
    z &= \sigma(W_{xz} x_t + W_{hz} h_{t-1} + b_z), &
    r &= \sigma(W_{xr} x_t + W_{hr} h_{t-1} + b_r), \\
    \tilde h &= \tanh(W_{xh} x_t + W_{hh} (h_{t-1} \circ r) + b_h), &
    y_t &= h_t = (1 - z) \circ \tilde h + z \circ h_{t-1}.
    \end{aligned}
    $$

    Matrices are stacked in the order $z$, $r$, $\tilde h$; each is drawn by itself, as its shape says.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_neural import GRU
        >>> GRU(3, 16, key=jax.random.key(0))(jnp.ones((10, 3))).shape
        (10, 16)

    Args:
        in_features: length of $x_t$.
        cells: length of $h_t$.
        initializer: draws the matrices; `InitStandard()` if not given. Differentiable. Biases start at 0.
        key: decides what is drawn.
        recurrent_initializer: draws those that meet $h$, for example `InitOrthogonal()`; as the others if not given.
            Differentiable.
        recurrence: how to go through a sequence.
        dtype: of the weights; JAX's default float dtype if not given.

    Raises:
        TypeError: if a length is not an integer, an initializer or `recurrence` not an instance of its class, `key` not
            a key, or `dtype` not one of floats.
        ValueError: if a length is below 1.
    """

    bias: Float[Array, " gates"]
    input_weight: Float[Array, "gates in"]
    gate_weight: Float[Array, "twocells cells"]
    candidate_weight: Float[Array, "cells cells"]
    recurrence: Recurrence

    def __init__(
        self,
        in_features: int,
        cells: int,
        initializer: AbstractInitializer | None = None,
        *,
        key: PRNGKeyArray,
        recurrent_initializer: AbstractInitializer | None = None,
        recurrence: Recurrence | None = None,
        dtype: DTypeLike | None = None,
    ):
        inputs, k = integer("in_features", in_features, 1), integer("cells", cells, 1)
        initializer = optional("initializer", initializer, InitStandard(), AbstractInitializer)
        recurrent = optional("recurrent_initializer", recurrent_initializer, initializer, AbstractInitializer)
        input_key, gate_key, candidate_key = jax.random.split(check_key("key", key), 3)
        self.input_weight = stacked(input_key, initializer, 3, k, inputs, dtype)
        self.bias = jnp.zeros(3 * k, self.input_weight.dtype)
        self.gate_weight = stacked(gate_key, recurrent, 2, k, k, dtype)
        self.candidate_weight = recurrent(candidate_key, k, k, dtype)
        self.recurrence = optional("recurrence", recurrence, Recurrence(), Recurrence)

    def constructor(self) -> Callable[..., "GRU"]:
        """The constructor for layers of these sizes."""
        return partial(GRU, self.in_features, self.candidate_weight.shape[0])

    def initial_state(self) -> Float[Array, " cells"]:
        """Zeros for $h$."""
        return jnp.zeros(self.candidate_weight.shape[0], self.bias.dtype)

    def projection(self) -> Callable[[Float[Array, "..."]], PyTree]:
        """What the gates and the candidate take from the inputs."""
        taken = projection(self.input_weight, self.bias)
        return lambda xs: jnp.split(taken(xs), 3, axis=-1)

    def cell(self) -> Callable[[PyTree, PyTree], PyTree]:
        """One step from $h$ to $h$."""
        gate_weight, candidate_weight = self.gate_weight.T, self.candidate_weight.T

        def step(h: Float[Array, " cells"], inputs: list[Float[Array, " cells"]]) -> Float[Array, " cells"]:
            z, r = map(sigmoid, map(jnp.add, inputs[:2], jnp.split(h @ gate_weight, 2)))
            candidate = jnp.tanh(inputs[2] + (h * r) @ candidate_weight)
            return (1 - z) * candidate + z * h

        return step

    def output(self, state: Float[Array, "... cells"]) -> Float[Array, "... cells"]:
        """The hidden state."""
        return state
