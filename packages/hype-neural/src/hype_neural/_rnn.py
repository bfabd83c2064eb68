"""Elman's simple recurrent layer."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from hype_ad.internal.checks import check_key, integer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ._checks import optional
from ._function import as_pytree
from ._initializer import AbstractInitializer, InitTanh
from ._linear import affine
from ._recurrence import AbstractRecurrent, Recurrence, projection


class RNN(AbstractRecurrent):
    r"""Elman's simple recurrent network: $h_t = a(W_{hh} h_{t-1} + W_{xh} x_t + b_h)$, $y_t = W_{hy} h_t + b_y$ (1990).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_neural import RNN
        >>> RNN(3, 16, 2, key=jax.random.key(0))(jnp.ones((10, 3))).shape
        (10, 2)

    Args:
        in_features: length of $x_t$.
        hidden_features: length of $h_t$.
        out_features: length of $y_t$.
        initializer: draws $W_{xh}$ and $W_{hy}$; `InitTanh()` if not given. Differentiable. Biases start at 0.
        key: decides what is drawn.
        activation: $a$.
        recurrent_initializer: draws $W_{hh}$, for example `InitOrthogonal()`; as the others if not given.
            Differentiable.
        recurrence: how to go through a sequence.
        dtype: of the weights; JAX's default float dtype if not given.

    Raises:
        TypeError: if a length is not an integer, an initializer or `recurrence` not an instance of its class,
            `activation` not a function, `key` not a key, or `dtype` not one of floats.
        ValueError: if a length is below 1.
    """

    hidden_bias: Float[Array, " hidden"]
    output_bias: Float[Array, " out"]
    hidden_weight: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden in"]
    output_weight: Float[Array, "out hidden"]
    activation: Callable[[Array], Array]
    recurrence: Recurrence

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        out_features: int,
        initializer: AbstractInitializer | None = None,
        *,
        key: PRNGKeyArray,
        activation: Callable[[Array], Any] = jnp.tanh,
        recurrent_initializer: AbstractInitializer | None = None,
        recurrence: Recurrence | None = None,
        dtype: DTypeLike | None = None,
    ):
        inputs = integer("in_features", in_features, 1)
        hidden = integer("hidden_features", hidden_features, 1)
        outputs = integer("out_features", out_features, 1)
        initializer = optional("initializer", initializer, InitTanh(), AbstractInitializer)
        recurrent = optional("recurrent_initializer", recurrent_initializer, initializer, AbstractInitializer)
        input_key, hidden_key, output_key = jax.random.split(check_key("key", key), 3)
        self.hidden_weight = recurrent(hidden_key, hidden, hidden, dtype)
        self.input_weight = initializer(input_key, hidden, inputs, dtype)
        self.output_weight = initializer(output_key, outputs, hidden, dtype)
        self.hidden_bias = jnp.zeros(hidden, self.input_weight.dtype)
        self.output_bias = jnp.zeros(outputs, self.input_weight.dtype)
        self.activation = as_pytree("activation", activation)
        self.recurrence = optional("recurrence", recurrence, Recurrence(), Recurrence)

    def constructor(self) -> Callable[..., "RNN"]:
        """The constructor for layers of these sizes, with this activation."""
        return partial(RNN, self.in_features, *self.output_weight.shape[::-1], activation=self.activation)

    def initial_state(self) -> Float[Array, " hidden"]:
        """Zeros for $h$."""
        return jnp.zeros_like(self.hidden_bias)

    def projection(self) -> Callable[[Float[Array, "..."]], PyTree]:
        r"""$W_{xh} x_t + b_h$."""
        return projection(self.input_weight, self.hidden_bias)

    def cell(self) -> Callable[[PyTree, PyTree], PyTree]:
        """One step from $h$ to $h$."""
        weight = self.hidden_weight.T
        return lambda h, inputs: self.activation(inputs + h @ weight)

    def output(self, state: Float[Array, "... hidden"]) -> Float[Array, "... out"]:
        r"""$W_{hy} h_t + b_y$."""
        return affine(state, self.output_weight, self.output_bias)


Recurrent = RNN
"""The original's name for `RNN`."""
