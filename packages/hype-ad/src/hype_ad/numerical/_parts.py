"""The parts that results of operators are made of, in the types of the point and the value: gradients, Hessians, ..."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from .._diff.blocks import nested
from .._diff.checks import check_like, parts, shape
from .._diff.directional import check_count, combinations
from .._types.by_rank import in_kind, is_tensor
from ._differences import Differences, Matrix

Part = Callable[..., PyTree]
"""A function of the differences at a point and of the direction, if the operator takes one."""


def derivative(order: int) -> Part:
    """f^(n)(x) of a function of one number."""
    return lambda at: at.value.with_entries(at.along(np.ones(1), order)) if order > 0 else at.value.tree


def gradient(at: Differences, *_: PyTree) -> PyTree:
    """The gradient."""
    return at.x.with_entries(at.jacobian[0])


def along(at: Differences, v: PyTree) -> PyTree:
    """The derivative along `v`: of one number its gradient times `v`, of several the Jacobian times `v`."""
    return at.value.with_entries(at.along(at.x.direction("v", v)))


def mixed(orders: Sequence[int]) -> Part:
    """The derivative of the given order along each of several directions."""

    def part(at: Differences, *directions: PyTree) -> PyTree:
        check_count(orders, directions)
        vectors = np.stack([at.x.direction("v", v) for v in directions])
        if not any(orders):
            return at.value.tree
        steps, weights = combinations(orders)
        along = [at.along(step @ vectors, sum(orders)) for step in steps]
        return at.value.with_entries(weights @ np.stack(along))

    return part


def jacobian(at: Differences) -> PyTree:
    """The Jacobian, in blocks."""
    return _blocks(at.jacobian, at.value.tree, at.x.tree)


def jacobian_t(at: Differences) -> PyTree:
    """The transposed Jacobian, in blocks."""
    return _blocks(at.jacobian.T, at.x.tree, at.value.tree)


def pulled_back(at: Differences, u: PyTree) -> PyTree:
    """The transposed Jacobian times `u`."""
    return at.x.with_entries(at.value.direction("u", u) @ at.jacobian)


def hessian(at: Differences) -> PyTree:
    """The Hessian, in blocks."""
    return _blocks(at.hessian(), at.x.tree, at.x.tree)


def hessian_product(at: Differences, v: PyTree) -> PyTree:
    """The Hessian times `v`."""
    return at.x.with_entries(at.hessian_product(at.x.direction("v", v)))


def hessian_diag(at: Differences) -> PyTree:
    """The diagonal of the Hessian."""
    return at.x.with_entries(at.hessian_diag())


def laplacian(at: Differences) -> Any:
    """The trace of the Hessian."""
    return _number(np.sum(at.hessian_diag()), at)


def divergence(at: Differences) -> Any:
    """The trace of the Jacobian of a vector field, whose value is checked to be shaped like `x`."""
    check_like("f(x)", at.value.tree, "x", at.x.tree)
    return jacobian_trace(at)


def jacobian_trace(at: Differences) -> Any:
    """The trace of the Jacobian."""
    return _number(np.trace(at.jacobian), at)


def curl(at: Differences) -> PyTree:
    """The curl of a vector field in space."""
    j = at.jacobian
    return at.x.with_entries(np.stack([j[2, 1] - j[1, 2], j[0, 2] - j[2, 0], j[1, 0] - j[0, 1]]))


def _number(number: float | np.floating, at: Differences) -> Any:
    return _in_kind(np.asarray(number), *parts(at.x.tree)[0], *parts(at.value.tree)[0])


def _blocks(matrix: Matrix, rows: PyTree, columns: PyTree) -> PyTree:
    """`rows`, each part replaced by a `columns` of blocks."""
    row_shapes, column_shapes = ([shape(part) for part in parts(tree)[0]] for tree in (rows, columns))
    row_ends, column_ends = (
        np.cumsum([int(np.prod(s)) for s in shapes])[:-1] for shapes in (row_shapes, column_shapes)
    )
    blocks = [
        [
            piece.reshape(above + beside)
            for piece, beside in zip(np.split(strip, column_ends, axis=1), column_shapes, strict=True)
        ]
        for strip, above in zip(np.split(matrix, row_ends), row_shapes, strict=True)
    ]
    return nested(rows, columns, blocks, _in_kind)


def _in_kind(array: Float[np.ndarray, "..."], *like: Any) -> Any:
    """A tensor if any of `like` is one, else a JAX array if any is one, else NumPy's."""
    if not any(isinstance(part, jax.Array) or is_tensor(part) for part in like):
        return array[()]
    of_jax = jnp.asarray(array, jnp.result_type(float))
    return in_kind(of_jax, *like) if of_jax.ndim <= 2 else of_jax
