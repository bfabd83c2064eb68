"""One step: gradient, clip, direction, rate, momentum."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, PyTree

from ._objective import Iterate, Objective
from ._params import Params


class Memory(eqx.Module):
    """What each part of a step remembers of the steps before."""

    method: PyTree
    learning_rate: PyTree
    momentum: PyTree


def initial_memory(w: PyTree, params: Params) -> Memory:
    """The memory before the first step."""
    return Memory(params.method.init(w), params.learning_rate.init(w), params.momentum.init(w))


def propose_step(
    objective: Objective, w: PyTree, memory: Memory, params: Params, step: Int[Array, ""], epoch: Int[Array, ""]
) -> tuple[Float[Array, ""], PyTree, PyTree, Memory]:
    """The value and the clipped gradient at `w`, the step to add to `w`, and the memory after it."""
    value, gradient, direction, method = params.method.direction(objective, w, params.gradient_clipping, memory.method)
    iterate = Iterate(objective, w, value, gradient, step, epoch)
    scaled, learning_rate = params.learning_rate.update(direction, memory.learning_rate, iterate)
    update, momentum = params.momentum.update(scaled, memory.momentum)
    after = Memory(method, learning_rate, momentum)
    # With weights of several dtypes, hyperparameters in the widest of them widen what they touch.
    return value, gradient, update, jax.tree.map(lambda new, old: new.astype(old.dtype), after, memory)
