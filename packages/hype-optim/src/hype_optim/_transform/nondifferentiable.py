"""Identities that raise, or do something else, when they are differentiated: only the rules of JAX know of that."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

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

    def refuse(path: Any) -> NoReturn:
        raise NoDerivativeError(message.format(path=jax.tree_util.keystr(path)))

    def guard(path: Any, leaf: Any) -> Any:
        if not eqx.is_inexact_array(leaf) or jax.tree_util.keystr(path[:1]) in except_for:
            return leaf
        return call_when_differentiated(lambda: refuse(path), leaf)

    return jax.tree_util.tree_map_with_path(guard, tree)


def has_derivative(derivative: Callable[..., PyTree], *args: PyTree) -> bool:
    """Whether a function that differentiates meets nothing `nondifferentiable`; it is traced, not run."""
    try:
        jax.eval_shape(derivative, *args)
    except NoDerivativeError:
        return False
    return True


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
