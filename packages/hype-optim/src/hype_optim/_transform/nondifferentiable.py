"""Identities that raise when they are differentiated, where a derivative would be a wrong zero."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree


class NoDerivativeError(ValueError):
    """A derivative was asked for with respect to something that an adjoint has no derivative for."""


def nondifferentiable(tree: PyTree, message: str, except_for: Sequence[str] = ()) -> PyTree:
    """The same pytree; a derivative with respect to a float leaf raises.

    Args:
        tree: any pytree.
        message: of the error; `{path}` in it becomes the leaf's path.
        except_for: paths, such as ".loss", of the parts of `tree` that are left alone.

    Raises:
        NoDerivativeError: in differentiation, on a leaf that has a tangent. A rule of JAX is called for those only, so
            what does not depend on such a leaf is differentiated as ever.
    """

    def guard(path: Any, leaf: Any) -> Any:
        if not eqx.is_inexact_array(leaf) or jax.tree_util.keystr(path[:1]) in except_for:
            return leaf
        return _guarded(leaf, message.format(path=jax.tree_util.keystr(path)))

    return jax.tree_util.tree_map_with_path(guard, tree)


def _guarded(leaf: jax.Array, message: str) -> jax.Array:
    identity = jax.custom_jvp(lambda x: x)

    @identity.defjvp
    def rule(primals: tuple, tangents: tuple) -> Any:
        raise NoDerivativeError(message)

    return identity(leaf)
