"""A function that is differentiated in forward mode where few numbers are perturbed, also by reverse mode.

A derivative with respect to k numbers is a Jacobian of k columns, and forward mode computes these along with the
function, without keeping anything of what happens inside. Then a tangent of the function is a combination of known
columns: linear, so that reverse mode can transpose it. What is perturbed is known when a rule of JAX is called, since
only what a derivative asks for has a tangent there.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._tree import float_dtype, size


def forward_where_few(function: Callable[..., PyTree], other: Callable[..., PyTree], few: int, *args: PyTree) -> PyTree:
    """`function(*args)`, exactly differentiable to any order that `function` and `other` are.

    Where the derivative is with respect to at most `few` numbers, it costs one tangent for each of them in every mode,
    and reverse mode keeps none of what `function` computes inside; else it is that of `other`. The derivative of this
    derivative is chosen in the same way.

    Args:
        function: closure-converted, so that all arrays that it depends on are leaves of it.
        other: gives what `function` gives; closure-converted too.
        few: how many numbers are few.
        args: what it is called with.
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

    floats, columns, rest = jax.vmap(along, out_axes=(None, 0, None))(_basis(moving))
    return eqx.combine(floats, rest), columns


def _basis(tree: PyTree) -> PyTree:
    """The unit directions, along a leading axis of each leaf."""
    leaves, structure = jax.tree.flatten(tree)
    numbers, before, basis = size(tree), 0, []
    for leaf in leaves:
        unit = jnp.eye(numbers, leaf.size, -before, dtype=leaf.dtype)
        basis.append(unit.reshape(numbers, *leaf.shape))
        before += leaf.size
    return jax.tree.unflatten(structure, basis)
