"""One step: gradient, clip, direction, rate, momentum."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, PyTree

from ._objective import Iterate, Objective
from ._params import Params
from ._tree import quotient, square_root, squared_norm

_SAMPLE = 64


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
) -> tuple[Float[Array, ""], PyTree, PyTree, Memory, Float[Array, ""] | None]:
    """The value and the clipped gradient at `w`, the step to add to `w`, the memory after it, and the rate."""
    value, gradient, direction, method = params.method.direction(objective, w, params.gradient_clipping, memory.method)
    iterate = Iterate(objective, w, value, gradient, step, epoch)
    scaled, learning_rate = params.learning_rate.update(direction, memory.learning_rate, iterate)
    update, momentum = params.momentum.update(scaled, memory.momentum)
    after = Memory(method, learning_rate, momentum)
    # With weights of several dtypes, hyperparameters in the widest of them widen what they touch.
    after = jax.tree.map(lambda new, old: new.astype(old.dtype), after, memory)
    return value, gradient, update, after, _effective_rate(scaled, direction) if params.method.takes_rate else None


def _effective_rate(step: PyTree, direction: PyTree) -> Float[Array, ""]:
    """How many times longer a step is than its direction, from an even sample of the entries of each leaf.

    Exact where the learning rate is one number; 0 where the direction vanishes. All entries would cost a tenth of a
    plain step.
    """
    sample = lambda leaf: leaf.ravel()[:: max(1, leaf.size // _SAMPLE)]
    steps, directions = (square_root(squared_norm(jax.tree.map(sample, tree))) for tree in (step, direction))
    return quotient(steps, directions)
