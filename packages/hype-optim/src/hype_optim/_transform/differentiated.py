"""Rules that see whether something is being differentiated, which is known only to the rules of JAX."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree


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


@eqx.filter_custom_jvp
def is_undifferentiated(tree: PyTree) -> Bool[Array, ""]:
    """True, and False if something is differentiated with respect to a float of `tree`."""
    return jnp.array(True)


@is_undifferentiated.def_jvp
def _is_undifferentiated_jvp(primals: tuple, tangents: tuple) -> tuple[Bool[Array, ""], None]:
    return jnp.array(False), None
