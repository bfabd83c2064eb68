"""Long short-term memory."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from hype_ad.internal.checks import check_key, integer
from jax.nn import sigmoid
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ._checks import optional
from ._initializer import AbstractInitializer, InitTanh
from ._recurrence import AbstractRecurrent, Recurrence, projection, stacked


class LSTMState(NamedTuple):
    """The state of an `LSTM`.

    Attributes:
        h: the hidden state, which is the output.
        c: the memory.
    """

    h: Float[Array, "... cells"]
    c: Float[Array, "... cells"]


class LSTM(AbstractRecurrent):
    r"""Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    $$
    \begin{aligned}
    \tilde c &= \tanh(W_{xc} x_t + W_{hc} h_{t-1} + b_c), &
    i &= \sigma(W_{xi} x_t + W_{hi} h_{t-1} + b_i), \\
    f &= \sigma(W_{xf} x_t + W_{hf} h_{t-1} + b_f), &
    o &= \sigma(W_{xo} x_t + W_{ho} h_{t-1} + b_o), \\
    c_t &= i \circ \tilde c + f \circ c_{t-1}, &
    y_t &= h_t = o \circ \tanh c_t.
    \end{aligned}
    $$

    The matrices of the four gates are stacked, in the order of these equations ($\tilde c$, $i$, $f$, $o$), so that a
    step is one product; each is drawn by itself, as its shape says.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_neural import LSTM
        >>> layer = LSTM(3, 16, key=jax.random.key(0))
        >>> ys, state = layer.run(jnp.ones((10, 3)))
        >>> ys.shape
        (10, 16)

    Args:
        in_features: length of $x_t$.
        cells: length of $h_t$ and $c_t$.
        initializer: draws the matrices; `InitTanh()` if not given. Differentiable.
        key: decides what is drawn.
        recurrent_initializer: draws those that meet $h$, for example `InitOrthogonal()`; as the others if not given.
            Differentiable.
        forget_bias: what $b_f$ starts at, a number or one for each unit; 1 remembers at first (Jozefowicz et al. 2015).
            Differentiable. Other biases start at 0.
        recurrence: how to go through a sequence.
        dtype: of the weights; JAX's default float dtype if not given.

    Raises:
        TypeError: if a length is not an integer, an initializer or `recurrence` not an instance of its class, `key` not
            a key, or `dtype` not one of floats.
        ValueError: if a length is below 1.
    """

    input_weight: Float[Array, "gates in"]
    hidden_weight: Float[Array, "gates cells"]
    bias: Float[Array, " gates"]
    recurrence: Recurrence

    def __init__(
        self,
        in_features: int,
        cells: int,
        initializer: AbstractInitializer | None = None,
        *,
        key: PRNGKeyArray,
        recurrent_initializer: AbstractInitializer | None = None,
        forget_bias: ArrayLike = 1.0,
        recurrence: Recurrence | None = None,
        dtype: DTypeLike | None = None,
    ):
        inputs, k = integer("in_features", in_features, 1), integer("cells", cells, 1)
        initializer = optional("initializer", initializer, InitTanh(), AbstractInitializer)
        recurrent = optional("recurrent_initializer", recurrent_initializer, initializer, AbstractInitializer)
        input_key, hidden_key = jax.random.split(check_key("key", key))
        self.input_weight = stacked(input_key, initializer, 4, k, inputs, dtype)
        self.hidden_weight = stacked(hidden_key, recurrent, 4, k, k, dtype)
        dtype = self.input_weight.dtype
        self.bias = jnp.zeros(4 * k, dtype).at[2 * k : 3 * k].set(jnp.asarray(forget_bias, dtype))
        self.recurrence = optional("recurrence", recurrence, Recurrence(), Recurrence)

    def constructor(self) -> Callable[..., "LSTM"]:
        """The constructor for layers of these sizes."""
        return partial(LSTM, self.in_features, self.hidden_weight.shape[1])

    def initial_state(self) -> LSTMState:
        """Zeros for $h$ and $c$."""
        zeros = jnp.zeros(self.hidden_weight.shape[1], self.bias.dtype)
        return LSTMState(zeros, zeros)

    def projection(self) -> Callable[[Float[Array, "..."]], PyTree]:
        """What the gates take from the inputs, an array for each gate: a step then reads whole rows."""
        taken = projection(self.input_weight, self.bias)
        return lambda xs: jnp.split(taken(xs), 4, axis=-1)

    def cell(self) -> Callable[[PyTree, PyTree], PyTree]:
        """One step from $(h, c)$ to $(h, c)$."""
        # Transposed outside of the scan: a row times a matrix is the faster product inside, in either mode.
        weight = self.hidden_weight.T

        def step(state: LSTMState, inputs: list[Float[Array, " cells"]]) -> LSTMState:
            candidate, write, keep, read = map(jnp.add, inputs, jnp.split(state.h @ weight, 4))
            c = sigmoid(write) * jnp.tanh(candidate) + sigmoid(keep) * state.c
            return LSTMState(sigmoid(read) * jnp.tanh(c), c)

        return step

    def output(self, state: LSTMState) -> Float[Array, "... cells"]:
        """The hidden state."""
        return state.h
