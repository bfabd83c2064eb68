"""What recurrent layers share: a scan over time, from which is hoisted what is faster for a whole sequence.

A step has two parts: what it takes from its input, and what it takes from the state before. The first is the same
linear map at every time, so it can be one matrix product for the whole sequence, before the scan. That is faster for
wide inputs; but for those narrower than the state its results, several times as wide, take longer to write and read
again, batch by batch, than the products take in the steps. What a step puts out is a map of its hidden state, so that
is one product after the scan.
"""

import abc
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad import checkpointed_scan
from hype_ad.internal.checks import boolean, integer
from hype_ad.internal.tree import same_shapes
from hype_optim import AbstractAdjoint, Checkpointed, Unrolled
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from ._initializer import AbstractInitializer
from ._layer import AbstractLayer

AnyRecurrent = TypeVar("AnyRecurrent", bound="AbstractRecurrent")


def _adjoint(value: AbstractAdjoint) -> Checkpointed | Unrolled:
    if not isinstance(value, Checkpointed | Unrolled):
        raise TypeError(f"`adjoint` must be `Unrolled()` or `Checkpointed(levels)` for a sequence, got {value!r}.")
    return value


class Recurrence(eqx.Module):
    """How a recurrent layer goes through a sequence.

    Args:
        reverse: whether from the end to the beginning; outputs stay at the times of their inputs.
        last: whether the output is that of the last step alone, instead of all.
        adjoint: how derivatives pass back through the sequence: `hype_optim.Unrolled()`, or for long sequences
            `hype_optim.Checkpointed(levels)`, with which reverse mode keeps about `levels * T**(1/levels)` states
            instead of all T, for `levels - 1` more forward passes.
        truncate: cuts the gradient of the state before every such number of steps, counted from the first (truncated
            backpropagation through time); `None` for never.

    Raises:
        TypeError: if `reverse` or `last` is not a truth value, `adjoint` is another one, or `truncate` not an integer.
        ValueError: if `truncate` is below 1.
    """

    reverse: bool = eqx.field(static=True, converter=partial(boolean, "reverse"), default=False)
    last: bool = eqx.field(static=True, converter=partial(boolean, "last"), default=False)
    adjoint: Checkpointed | Unrolled = eqx.field(converter=_adjoint, default_factory=Unrolled)
    truncate: int | None = eqx.field(
        static=True, converter=lambda n: None if n is None else integer("truncate", n, 1), default=None
    )


class AbstractRecurrent(AbstractLayer):
    """A layer that maps a sequence, with time on the leading axis, and carries a state along it.

    Its state is given and returned by `run`; the layer itself remembers nothing.
    """

    input_weight: eqx.AbstractVar[Float[Array, "rows features"]]
    recurrence: eqx.AbstractVar[Recurrence]

    @abc.abstractmethod
    def constructor(self) -> Callable[..., Any]:
        """The constructor with the sizes of this layer filled in: it takes an initializer, and all else by keyword."""

    @abc.abstractmethod
    def initial_state(self) -> PyTree[Float[Array, " hidden"]]:
        """The state at the beginning: zeros."""

    @abc.abstractmethod
    def projection(self) -> Callable[[Float[Array, "..."]], PyTree]:
        """A function of the inputs of one time, or of all: what the steps take from them."""

    @abc.abstractmethod
    def cell(self) -> Callable[[PyTree, PyTree], PyTree]:
        """A function of the state before and of what `projection` gives for one time: the state after."""

    @abc.abstractmethod
    def output(self, state: PyTree) -> Float[Array, "... features"]:
        """What comes out at the times of some states."""

    @property
    def in_features(self) -> int:
        """The number of entries of an input."""
        return self.input_weight.shape[1]

    def init(
        self: AnyRecurrent,
        key: PRNGKeyArray,
        initializer: AbstractInitializer | None = None,
        *,
        recurrent_initializer: AbstractInitializer | None = None,
        **settings: Any,
    ) -> AnyRecurrent:
        """The same layer with weights drawn anew, and biases as in a new one.

        Args:
            key: decides what is drawn.
            initializer: how; if not given, as the constructor does by default. Differentiable.
            recurrent_initializer: how for the matrices that meet the state; as the others if not given. Differentiable.
            settings: what else the constructor takes by keyword, such as `forget_bias` of an `LSTM`.

        Raises:
            TypeError: if the constructor does not take one of `settings`, or as it raises.
        """
        settings = {"recurrence": self.recurrence, "dtype": self.input_weight.dtype, **settings}
        return self.constructor()(initializer, key=key, recurrent_initializer=recurrent_initializer, **settings)

    def __call__(
        self,
        xs: Float[Array, "time features"],
        *,
        key: PRNGKeyArray | None = None,
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "..."]:
        """The outputs for one sequence, begun at zero; see `run`."""
        return self.run(xs, mask=mask)[0]

    # Compiled by itself, so that a call outside of `jit` does not compile its scan each time.
    @eqx.filter_jit
    def run(
        self, xs: Float[Array, "time features"], state: PyTree = None, *, mask: Bool[Array, "..."] | None = None
    ) -> tuple[Float[Array, "..."], PyTree]:
        """The outputs for a piece of a sequence, and the state after it.

        Args:
            xs: the inputs, one time a row. Differentiable.
            state: the state before: what a run over the piece before has returned, or `None` for zeros. Differentiable.
            mask: which times count, for sequences that were padded to a common length. At others the state stays as it
                is and the output is 0, whatever the input is, NaN too.

        Returns:
            The outputs `(time, features)`, or the last one alone, as `recurrence` says; and the state.

        Raises:
            ValueError: if `xs`, `state` or `mask` has a shape that does not fit, or `state` another structure.
        """
        if xs.ndim != 2 or xs.shape[1] != self.in_features:
            raise ValueError(
                f"{type(self).__name__} takes a sequence of shape (time, {self.in_features}), got {xs.shape}; "
                "map it over a batch with `jax.vmap`."
            )
        if mask is not None and mask.shape != xs.shape[:1]:
            raise ValueError(f"`mask` must have an entry for each of {xs.shape[0]} times, got shape {mask.shape}.")
        zeros = self.initial_state()
        state = zeros if state is None else state
        if not same_shapes(zeros, state):
            expected, found = (jax.tree.map(jnp.shape, tree) for tree in (zeros, state))
            raise ValueError(f"`state` must have the shapes {expected}, got {found}.")
        if mask is not None:
            xs = jnp.where(mask[:, None], xs, jnp.zeros_like(xs))  # padding of NaN would make derivatives NaN
        # The widest dtype among inputs and weights, which a carry that starts at zero would not have by itself.
        state = jax.tree.map(lambda s: jnp.asarray(s, jnp.promote_types(xs.dtype, self.input_weight.dtype)), state)
        cell, project = self.cell(), self.projection()
        if self.in_features < jax.tree.leaves(zeros)[0].size:
            after, states = _scan(lambda state, x: cell(state, project(x)), xs, state, mask, self.recurrence)
        else:
            after, states = _scan(cell, project(xs), state, mask, self.recurrence)
        if self.recurrence.last:
            return self.output(after), after
        ys = self.output(states)
        return ys if mask is None else jnp.where(mask[:, None], ys, jnp.zeros_like(ys)), after


def projection(
    weight: Float[Array, "rows features"], bias: Float[Array, " rows"]
) -> Callable[[Float[Array, "..."]], Float[Array, "..."]]:
    """$W x + b$ of the last axis, with the matrix transposed once, outside of a scan."""
    transposed = weight.T

    def project(xs: Float[Array, "..."]) -> Float[Array, "..."]:
        y = xs @ transposed
        return y + jnp.broadcast_to(bias, y.shape)

    return project


def stacked(
    key: PRNGKeyArray, initializer: AbstractInitializer, gates: int, fan_out: int, fan_in: int, dtype: Any
) -> Float[Array, "rows columns"]:
    """A matrix for each gate, drawn by itself, one below the other."""
    return jnp.concatenate([initializer(k, fan_out, fan_in, dtype) for k in jax.random.split(key, gates)])


def _scan(
    cell: Callable[[PyTree, PyTree], PyTree],
    inputs: PyTree[Float[Array, "time hidden"]],
    state: PyTree,
    mask: Bool[Array, "..."] | None,
    how: Recurrence,
) -> tuple[PyTree, PyTree]:
    """The last state, and the states at all times."""
    times = jax.tree.leaves(inputs)[0].shape[0]
    cuts = None if how.truncate is None else (jnp.arange(times) % how.truncate == 0) & (jnp.arange(times) > 0)

    def step(state: PyTree, x: Any) -> tuple[PyTree, PyTree]:
        inputs, mask, cut = x
        if cut is not None:
            state = jax.tree.map(lambda s: jnp.where(cut, lax.stop_gradient(s), s), state)
        after = cell(state, inputs)
        if mask is not None:
            after = jax.tree.map(lambda new, old: jnp.where(mask, new, old), after, state)
        return after, after

    def in_order(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: jnp.flip(x, 0), tree) if how.reverse else tree

    levels = how.adjoint.levels if isinstance(how.adjoint, Checkpointed) else 1
    xs = (in_order(inputs), in_order(mask), cuts)
    after, states = checkpointed_scan(step, state, xs, levels)
    return after, in_order(states)
