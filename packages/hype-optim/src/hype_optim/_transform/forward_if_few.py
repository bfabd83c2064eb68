"""Forward mode where few scalars are perturbed, also under reverse mode.

A derivative with respect to k scalars is a Jacobian of k columns, and forward mode computes these along with the
function and stores nothing of what happens inside. Then a tangent of the function is a linear combination of known
columns, which reverse mode can transpose. What is perturbed is known when a rule of JAX is called: only what a
derivative asks for has a tangent there.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.tree import basis, float_dtype, size
from jaxtyping import PyTree


def forward_if_few(function: Callable[..., PyTree], other: Callable[..., PyTree], few: int, *args: PyTree) -> PyTree:
    """`function(*args)`, exactly differentiable to any order that `function` and `other` are.

    Where the derivative is with respect to at most `few` numbers, it costs one tangent for each of them in every mode,
    and reverse mode keeps none of what `function` computes inside; else it is that of `other`. The derivative of this
    derivative is chosen in the same way. Both functions are closure-converted, so that all arrays that they depend on
    are leaves of them, and give the same.
    """
    return _run(function, other, few, args)


@eqx.filter_custom_jvp
def _run(function: Callable[..., PyTree], other: Callable[..., PyTree], few: int, args: tuple) -> PyTree:
    return function(*args)


@_run.def_jvp
def _run_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    (function, other, few, args), (d_function, d_other, _, d_args) = primals, tangents
    directions = (d_function, d_args)
    if size(directions) > few:
        return eqx.filter_jvp(lambda other, args: other(*args), (other, args), (d_other, d_args))
    perturbed = jax.tree.map(lambda tangent: tangent is not None, directions, is_leaf=lambda x: x is None)
    moving, fixed = eqx.partition((function, args), perturbed)
    out, columns = _run(_columns, _columns, few, (moving, fixed))
    dtype = float_dtype(directions)
    factors = jnp.concatenate([jnp.ravel(tangent).astype(dtype) for tangent in jax.tree.leaves(directions)])
    combine = lambda column: jnp.sum(jax.vmap(jnp.multiply)(factors.astype(column.dtype), column), axis=0)
    return out, jax.tree.map(combine, columns)


def _columns(moving: PyTree, fixed: PyTree) -> tuple[PyTree, PyTree]:
    """What the function gives, and the derivatives of its floats along each number that moves, on a leading axis."""

    def run(moving: PyTree) -> tuple[PyTree, PyTree]:
        function, args = eqx.combine(moving, fixed)
        return eqx.partition(function(*args), eqx.is_inexact_array)

    def along(direction: PyTree) -> tuple[PyTree, PyTree, PyTree]:
        return jax.jvp(run, (moving,), (direction,), has_aux=True)

    floats, columns, static = jax.vmap(along, out_axes=(None, 0, None))(basis(moving))
    return eqx.combine(floats, static), columns
