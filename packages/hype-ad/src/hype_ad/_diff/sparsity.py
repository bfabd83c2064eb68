"""Which entries of a Jacobian or Hessian may be other than zero: found once, from the traced program, or given."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Int, PyTree

from .._types.base import AbstractTensor
from ..internal.mode import Mode, check_mode
from .argnums import Argnums, at_argument
from .checks import float_value
from .coloring import Coloring, by_columns, by_star
from .dependence import dependences
from .dependence_rules import NeedsReverse, TooDense, filled, height, own_columns, width
from .forms import Function
from .gradient import value_gradient
from .pattern import Pattern, of_entries, of_matrix, stacked
from .programs import size_of


class Sparsity:
    """The entries of a matrix that may be other than zero, and colorings of it, each found when first needed.

    It is made by `jacobian_sparsity`, `hessian_sparsity` or from a matrix, outside of compiled code or while JAX
    traces, and can be used for as many derivatives as have it. Two are equal if they have the same entries.

    Args:
        matrix: array, `DM`, sparse matrix of SciPy or BCOO, of two axes, the entries of a point one after the other
            along the last. Entries other than zero may be so in the derivative; of a sparse one, those that it stores.

    Raises:
        TypeError: if `matrix` is not one of numbers, or traced.
        ValueError: if it does not have two axes.

    Attributes:
        shape: number of outputs and of inputs.
        rows: the row of each entry, in increasing order.
        columns: the column of each entry, in increasing order in a row.
    """

    def __init__(self, matrix: Any):
        pattern = _stored(matrix)
        pattern.sort_indices()
        self.shape: tuple[int, int] = (height(pattern), width(pattern))
        self.columns: Int[np.ndarray, " entries"] = pattern.indices.astype(np.int32)
        self.rows: Int[np.ndarray, " entries"] = np.repeat(
            np.arange(self.shape[0], dtype=np.int32), np.diff(pattern.indptr)
        )

    def __repr__(self) -> str:
        return f"Sparsity({self.shape[0]} x {self.shape[1]}, {self.count} entries)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sparsity) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @cached_property
    def _key(self) -> tuple[tuple[int, int], bytes, bytes]:
        return self.shape, self.rows.tobytes(), self.columns.tobytes()

    @property
    def count(self) -> int:
        """Number of entries."""
        return len(self.rows)

    def to_array(self) -> Bool[np.ndarray, "rows columns"]:
        """The whole boolean matrix."""
        return self._matrix.toarray()

    @cached_property
    def _matrix(self) -> Pattern:
        return of_entries(self.rows, self.columns, self.shape)

    @cached_property
    def column_coloring(self) -> Coloring:
        """Columns that no row has two of have one color: one product from the right for each."""
        return by_columns(self._matrix, self.rows, self.columns)

    @cached_property
    def row_coloring(self) -> Coloring:
        """Rows that no column has two of have one color: one product from the left for each."""
        return by_columns(of_matrix(self._matrix.T), self.columns, self.rows)

    @cached_property
    def star_coloring(self) -> Coloring:
        """Of a symmetric matrix."""
        return by_star(self._matrix, self.rows, self.columns)

    @cached_property
    def symmetric(self) -> "Sparsity":
        """With the entry (j, i) for each entry (i, j)."""
        both = of_matrix(self._matrix + self._matrix.T)
        return self if both.nnz == self.count else Sparsity(both)


def as_sparsity(sparsity: Any) -> Sparsity | None:
    """A `Sparsity` or None as it is, or the `Sparsity` of a matrix."""
    return sparsity if sparsity is None or isinstance(sparsity, Sparsity) else Sparsity(sparsity)


def _stored(matrix: Any) -> Pattern:
    from jax.experimental.sparse import BCOO  # not loaded before it is needed: that takes as long as all of ours
    from scipy.sparse import coo_array, issparse

    if isinstance(matrix, Tracer) or (isinstance(matrix, BCOO) and isinstance(matrix.indices, Tracer)):
        raise TypeError("`sparsity` must be known while JAX traces: make it of a NumPy array, outside of `jax.jit`.")
    if isinstance(matrix, BCOO) and matrix.ndim == 2 and not matrix.n_batch and not matrix.n_dense:
        places = np.asarray(matrix.indices)
        inside = (places < np.array(matrix.shape)).all(axis=1)
        rows, columns = places[inside].T
        return of_matrix(of_entries(rows, columns, matrix.shape).astype(bool))
    if issparse(matrix):
        if matrix.ndim != 2:
            raise ValueError(f"`sparsity` must be a matrix, got shape {matrix.shape}.")
        entries = coo_array(matrix)
        rows, columns = entries.coords
        return of_entries(rows, columns, matrix.shape)
    if isinstance(matrix, AbstractTensor):
        matrix = matrix.array
        if isinstance(matrix, Tracer):
            return _stored(matrix)
    if not isinstance(matrix, np.ndarray | jax.Array | list | tuple):
        raise TypeError(f"`sparsity` must be a Sparsity or a matrix of NumPy, SciPy or BCOO, got {matrix!r}.")
    try:
        dense = np.asarray(matrix)
    except ValueError as error:
        raise ValueError("`sparsity` must be a matrix, got rows of different lengths.") from error
    if dense.dtype.kind not in "biufc" and not jnp.issubdtype(dense.dtype, jnp.floating):
        raise TypeError(f"`sparsity` must be a matrix of numbers, got one of dtype {dense.dtype}.")
    if dense.ndim != 2:
        raise ValueError(f"`sparsity` must be a matrix, got shape {dense.shape}.")
    return of_matrix(dense != 0)


def jacobian_sparsity(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Sparsity]:
    r"""The entries of the Jacobian of `f` that may be other than zero, at any point of these shapes.

    The program is read that JAX traces of the derivative of `f`, with rules for what each operation depends on; an
    operation without one makes its outputs depend on all of its inputs, so that entries may be too many, never too few.
    Zeros count in integers and booleans that `f` holds, such as the ends of the edges of a graph, and in what its
    program makes out of constants; not in floats that it holds, which may be parameters: where a matrix of these has
    zeros, give the pattern, `Sparsity(matrix)`. Indices that depend on the point may be any.

    Args:
        f: as in `jacobian`.
        argnums: as in `jacobian`.
        has_aux: as in `jacobian`.

    Returns:
        A function with the arguments of `f` that gives a `Sparsity` of as many rows as f(x) has entries and as many
        columns as `x` has.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, or if `argnums` is not made of integers.
        ValueError: if `argnums` names no argument, or if more than 2²⁴ entries may be other than zero, on the way too.
    """

    def find(*args: Any, **kwargs: Any) -> Sparsity:
        g, x = at_argument(f, argnums, has_aux, args, kwargs)
        return found_jacobian(lambda x: float_value(g(x)[0]), x)

    return find


def hessian_sparsity(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, mode: Mode = "reverse"
) -> Callable[..., Sparsity]:
    r"""The entries of the Hessian of `f` that may be other than zero, at any point of these shapes.

    As `jacobian_sparsity` of the gradient.

    Args:
        f: as in `hessian`.
        argnums: as in `hessian`.
        has_aux: as in `hessian`.
        mode: as in `hessian`.

    Returns:
        A function with the arguments of `f` that gives a symmetric `Sparsity`.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, or if `argnums` is not made of integers.
        ValueError: if f(x) is not one number, if `argnums` names no argument, if `mode` is unknown, or if more than 2²⁴
            entries may be other than zero, on the way too.
    """
    check_mode("mode", mode)

    def find(*args: Any, **kwargs: Any) -> Sparsity:
        g, x = at_argument(f, argnums, has_aux, args, kwargs)
        return found_jacobian(lambda x: value_gradient(g, x, mode)[1], x).symmetric

    return find


def found_jacobian(g: Callable[[PyTree], PyTree], x: PyTree) -> Sparsity:
    """The sparsity of the Jacobian of a function of `x` alone."""
    x = jax.tree.map(jnp.asarray, x)
    try:
        return linear_sparsity(lambda x, v: jax.jvp(g, (x,), (v,))[1], x, x)
    except NeedsReverse:
        out = jax.eval_shape(g, x)
        return linear_sparsity(lambda x, u: jax.vjp(g, x)[1](u)[0], x, out, transposed=True)


def linear_sparsity(product: Callable[..., PyTree], point: PyTree, v: PyTree, *, transposed: bool = False) -> Sparsity:
    """The sparsity of the matrix (or of its transpose) whose product with `v` is `product(point, v)`."""
    program = jax.make_jaxpr(product)(point, v)
    fixed = [None] * len(jax.tree.leaves(point))
    sizes = [size_of(var) for var in program.jaxpr.invars[len(fixed) :]]
    outs = [size_of(var) for var in program.jaxpr.outvars]
    shape = sum(outs), sum(sizes)
    try:
        inputs = [*fixed, *own_columns(sizes, [True] * len(sizes))]
        pattern = stacked(filled(dependences(program, inputs, [None] * len(inputs)), outs, shape[1]), shape[1])
    except TooDense as error:
        if shape[0] * shape[1] > 2**24:
            raise ValueError(
                f"More than 2²⁴ entries of the derivative, of shape {shape}, may be other than zero: it is not sparse, "
                "or not seen to be. Give `sparsity` where you know it, or take products with vectors."
            ) from error
        pattern = of_matrix(np.ones(shape, bool))
    return Sparsity(pattern.T if transposed else pattern)
