"""An identity whose tangent can be transposed, as reverse mode does, but not computed, as forward mode does."""

from typing import Any, NoReturn

import equinox as eqx
import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, PyTree

from .nondifferentiable import NoDerivativeError

_tangent_p = Primitive("tangent_in_reverse_mode")


def reverse_only(tree: PyTree, message: str) -> PyTree:
    """The same pytree.

    A NoDerivativeError, with `message`, where a derivative in a float leaf is to be computed in forward mode.
    """

    @jax.custom_jvp
    def identity(leaf: Array) -> Array:
        return leaf

    @identity.defjvp
    def identity_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        return primals[0], _tangent_p.bind(tangents[0], message=message)

    return jax.tree.map(lambda leaf: identity(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


def _refuse(*args: Any, message: str) -> NoReturn:
    raise NoDerivativeError(message)


def _batch(args: Any, axes: Any, *, message: str) -> tuple[Array, int]:
    return _tangent_p.bind(*args, message=message), axes[0]


_tangent_p.def_impl(_refuse)
_tangent_p.def_abstract_eval(lambda tangent, *, message: tangent)
mlir.register_lowering(_tangent_p, lambda ctx, *args, message: _refuse(message=message))
ad.deflinear2(_tangent_p, lambda cotangent, _, *, message: [cotangent])
batching.primitive_batchers[_tangent_p] = _batch
