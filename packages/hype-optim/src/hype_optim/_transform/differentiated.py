"""A rule that sees whether something is being differentiated, which is known only to the rules of JAX."""

from collections.abc import Callable

import jax
from jaxtyping import PyTree


def call_when_differentiated(call: Callable[[], None], tree: PyTree) -> PyTree:
    """The identity; `call` is called, while tracing, if something is differentiated with respect to it."""

    @jax.custom_jvp
    def identity(tree: PyTree) -> PyTree:
        return tree

    @identity.defjvp
    def identity_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
        call()
        return primals[0], tangents[0]

    return identity(tree)
