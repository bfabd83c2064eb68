"""Numbers that no derivative may pass through: asking for one raises, where it would else be a wrong zero."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree


class NoDerivativeError(ValueError):
    """A derivative was asked for with respect to something that the adjoint does not see."""


def refuse(tree: PyTree, message: str, spare: Sequence[str] = ()) -> PyTree:
    """The same pytree; a derivative with respect to a float leaf raises `message`, which may name the leaf's `{path}`.

    Leaves in a part whose path is in `spare` are left alone.

    Raises:
        NoDerivativeError: in differentiation, on a leaf that has a tangent. A rule of JAX is called for those only, so
            what does not depend on such a leaf is differentiated as ever.
    """

    def guard(path: Any, leaf: Any) -> Any:
        if not eqx.is_inexact_array(leaf) or jax.tree_util.keystr(path[:1]) in spare:
            return leaf
        return _guarded(leaf, message.format(path=jax.tree_util.keystr(path)))

    return jax.tree_util.tree_map_with_path(guard, tree)


def _guarded(leaf: jax.Array, message: str) -> jax.Array:
    identity = jax.custom_jvp(lambda x: x)

    @identity.defjvp
    def rule(primals: tuple, tangents: tuple) -> Any:
        raise NoDerivativeError(message)

    return identity(leaf)
