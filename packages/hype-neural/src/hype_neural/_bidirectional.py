"""Two recurrent layers that read a sequence from both ends."""

import jax
import jax.numpy as jnp
from hype_ad.internal.checks import check_key, instance
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from ._initializer import AbstractInitializer
from ._layer import AbstractLayer
from ._recurrence import AbstractRecurrent


class Bidirectional(AbstractLayer):
    """One recurrent layer from each end of a sequence, their outputs side by side (Schuster & Paliwal 1997).

    Args:
        forward: goes from the beginning to the end.
        backward: goes from the end to the beginning; it must be given as if it went forward.

    Raises:
        TypeError: if one of them is not a recurrent layer.
        ValueError: if one of them goes in reverse by itself, or only one of them puts out its last step alone.
    """

    forward: AbstractRecurrent
    backward: AbstractRecurrent

    def __init__(self, forward: AbstractRecurrent, backward: AbstractRecurrent):
        for name, layer in (("forward", forward), ("backward", backward)):
            if instance(name, layer, AbstractRecurrent, "a recurrent layer").recurrence.reverse:
                raise ValueError(f"`{name}` must not go in reverse by itself: `Bidirectional` turns sequences around.")
        if forward.recurrence.last != backward.recurrence.last:
            raise ValueError("`forward` and `backward` must both put out all steps, or both the last one alone.")
        self.forward, self.backward = forward, backward

    def __call__(
        self,
        xs: Float[Array, "time in"],
        *,
        key: PRNGKeyArray | None = None,
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "..."]:
        """The outputs of both for one sequence.

        Args:
            xs: the inputs, one time a row.
            key: not used.
            mask: which times count; at others the output is 0.
        """
        ahead = self.forward(xs, mask=mask)
        back = self.backward(jnp.flip(xs, 0), mask=None if mask is None else jnp.flip(mask))
        return jnp.concatenate([ahead, back if self.backward.recurrence.last else jnp.flip(back, 0)], axis=-1)

    def run(self, xs: Float[Array, "time in"], state: PyTree = None) -> tuple[Float[Array, "..."], PyTree]:
        """The outputs for a whole sequence, and `()`, from which no other run can go on.

        Raises:
            ValueError: if `state` is given: there would have to be one of what comes later.
        """
        if state is not None:
            raise ValueError("`Bidirectional` cannot go on from a state: it has to see the whole sequence at once.")
        return self(xs), ()

    def init(self, key: PRNGKeyArray, initializer: AbstractInitializer | None = None) -> "Bidirectional":
        """The same layers with weights drawn anew."""
        first, second = jax.random.split(check_key("key", key))
        return Bidirectional(self.forward.init(first, initializer), self.backward.init(second, initializer))
