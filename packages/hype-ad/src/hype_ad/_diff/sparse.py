"""Sparse Jacobians and Hessians: a few products recover all entries, those of columns that share no row together."""

import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PyTree

from .._types.by_rank import in_kind
from ..internal import tree
from ..internal.checks import boolean
from ..internal.mode import Mode, check_mode, explain_mode
from ..internal.programs import all_equations
from .argnums import Argnums, at_argument, with_aux
from .blocks import nested
from .checks import float_value, parts, shape
from .coloring import Coloring, Places
from .directions import in_batches
from .forms import Function, giving, without_value
from .gradient import value_gradient
from .sparsity import Sparsity, as_sparsity, found_jacobian

Push = Callable[[PyTree], tuple[Any, PyTree]]
"""A product with a direction, beside what is the same for all directions."""


def sparse_jacobian(
    f: Function,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    sparsity: Any = None,
    check: bool = True,
    dense: bool = False,
    mode: Mode | None = None,
) -> Function:
    r"""The Jacobian $J_{ij} = \partial f_i / \partial x_j$ of which few entries are not zero.

    It takes one product for each color of a coloring of the columns in forward mode, or of the rows in reverse mode if
    these are fewer; a band of width b takes b of them, however long. The sparsity is found from the traced program each
    time that `f` is traced, see `jacobian_sparsity`; so it costs nothing in compiled code, and can be found once and
    given. Differentiable to any order, as `jacobian` is.

    Args:
        f: as in `jacobian`.
        argnums: as in `jacobian`.
        has_aux: as in `jacobian`.
        sparsity: a `Sparsity`, or a matrix that it can be made of, of which entries may be other than zero; by default
            it is found.
        check: whether a given `sparsity` is held to the product with one random direction, which costs one more
            product: if entries are missing, a ValueError is raised, and in compiled code all entries are NaN. An entry
            below √ε of its row, or ε of the largest row, is not told from rounding.
        dense: whether zeros are filled in.
        mode: "forward" to take columns, "reverse" to take rows.

    Returns:
        A function with the arguments of `f` that gives the Jacobian as `jax.experimental.sparse.BCOO`, of shape (shape
        of f(x)) + (shape of x), or with `dense` what `jacobian` gives. Of pytrees: the structure of f(x), in which each
        part is replaced by an `x` of such blocks. With `has_aux` the pair (Jacobian, auxiliary output).

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, if `argnums` is not made of integers, if `check` or
            `dense` is not True or False, or if `sparsity` is no matrix of numbers that is known.
        ValueError: if `argnums` names no argument, if `mode` is unknown, if `sparsity` has another shape or lacks
            entries, or if none is given and more than 2²⁴ entries may be other than zero.
    """
    operator = value_and_sparse_jacobian(f, argnums, has_aux, sparsity=sparsity, check=check, dense=dense, mode=mode)
    return without_value(operator, has_aux)


@giving(sparse_jacobian, "value", "Jacobian")
def value_and_sparse_jacobian(
    f: Function,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    sparsity: Any = None,
    check: bool = True,
    dense: bool = False,
    mode: Mode | None = None,
) -> Function:
    if mode is not None:
        check_mode("mode", mode)
    given = as_sparsity(sparsity)
    probed = boolean("check", check) and given is not None
    boolean("dense", dense)

    def value_and_matrix(*args: Any, **kwargs: Any) -> tuple[Any, PyTree]:
        g, x = at_argument(f, argnums, has_aux, args, kwargs)
        x = jax.tree.map(jnp.asarray, x)

        def checked(x: PyTree) -> tuple[Any, Any]:
            value, aux = g(x)
            return float_value(value), aux

        found = found_jacobian(lambda x: checked(x)[0], x) if given is None else given
        if mode == "forward":  # nothing is kept of the evaluation

            def push(v: PyTree) -> tuple[tuple[Any, Any], PyTree]:
                value, product, aux = jax.jvp(checked, (x,), (v,), has_aux=True)
                return (value, aux), product

            out = jax.eval_shape(checked, x)[0]
            _check_shape(found, out, x)
            with explain_mode():
                (value, aux), data = recovered(found.column_coloring, push, x, probed and (found.rows, found.columns))
            return with_aux(value, aux, has_aux), _arranged(data, found, value, x, dense)

        value, linear, aux = jax.linearize(checked, x, has_aux=True)
        _check_shape(found, value, x)
        if mode == "reverse" or found.row_coloring.count < found.column_coloring.count or not _goes_forward(linear, x):
            with explain_mode():
                pull = jax.linear_transpose(linear, x)
                probe = probed and (found.columns, found.rows)
                _, data = recovered(found.row_coloring, lambda u: (None, pull(u)[0]), value, probe)
        else:
            probe = probed and (found.rows, found.columns)
            _, data = recovered(found.column_coloring, lambda v: (None, linear(v)), x, probe)
        return with_aux(value, aux, has_aux), _arranged(data, found, value, x, dense)

    return value_and_matrix


def sparse_hessian(
    f: Function,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    sparsity: Any = None,
    check: bool = True,
    dense: bool = False,
    mode: Mode = "reverse",
) -> Function:
    r"""The Hessian $H_{ij} = \partial^2 f / \partial x_i \partial x_j$ of which few entries are not zero.

    It takes one Hessian product for each color of a star coloring, which uses the symmetry: a band of width b takes b
    of them, an arrow 2, however long. The sparsity is found as by `sparse_jacobian`.

    Args:
        f: as in `hessian`.
        argnums: as in `hessian`.
        has_aux: as in `hessian`.
        sparsity: as in `sparse_jacobian`; the entry (j, i) of an entry (i, j) need not be there.
        check: as in `sparse_jacobian`.
        dense: as in `sparse_jacobian`.
        mode: as in `hessian`.

    Returns:
        A function with the arguments of `f` that gives the Hessian as `jax.experimental.sparse.BCOO`, of shape (shape
        of x) + (shape of x), or with `dense` what `hessian` gives. Of pytrees: the structure of `x`, in which each part
        is replaced by an `x` of such blocks. With `has_aux` the pair (Hessian, auxiliary output).

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, if `argnums` is not made of integers, if `check` or
            `dense` is not True or False, or if `sparsity` is no matrix of numbers that is known.
        ValueError: if f(x) is not one number, if `argnums` names no argument, if `mode` is unknown, if `sparsity` has
            another shape or lacks entries, or if none is given and more than 2²⁴ entries may be other than zero.
    """
    derivatives = _value_grad_hessian(f, argnums, has_aux, sparsity, check, dense, mode)
    return without_value(lambda *args, **kwargs: derivatives(*args, **kwargs)[::2], has_aux)


@giving(sparse_hessian, "value", "Hessian")
def value_and_sparse_hessian(
    f: Function,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    sparsity: Any = None,
    check: bool = True,
    dense: bool = False,
    mode: Mode = "reverse",
) -> Function:
    derivatives = _value_grad_hessian(f, argnums, has_aux, sparsity, check, dense, mode)
    return lambda *args, **kwargs: derivatives(*args, **kwargs)[::2]


@giving(sparse_hessian, "gradient", "Hessian")
def grad_sparse_hessian(
    f: Function,
    *,
    sparsity: Any = None,
    check: bool = True,
    dense: bool = False,
    mode: Mode = "reverse",
) -> Function:
    return without_value(_value_grad_hessian(f, 0, False, sparsity, check, dense, mode))


@giving(sparse_hessian, "value", "gradient", "Hessian")
def value_and_grad_sparse_hessian(
    f: Function,
    *,
    sparsity: Any = None,
    check: bool = True,
    dense: bool = False,
    mode: Mode = "reverse",
) -> Function:
    return _value_grad_hessian(f, 0, False, sparsity, check, dense, mode)


def _value_grad_hessian(
    f: Function, argnums: Argnums, has_aux: bool, sparsity: Any, check: bool, dense: bool, mode: Mode
) -> Function:
    check_mode("mode", mode)
    given = as_sparsity(sparsity)
    probed = boolean("check", check) and given is not None
    boolean("dense", dense)

    def derivatives(*args: Any, **kwargs: Any) -> tuple[Any, PyTree, PyTree]:
        g, x = at_argument(f, argnums, has_aux, args, kwargs)
        x = jax.tree.map(jnp.asarray, x)

        def gradient(x: PyTree) -> tuple[PyTree, Any]:
            value, result, aux = value_gradient(g, x, mode)
            return result, (value, aux)

        def push(v: PyTree) -> tuple[Any, PyTree]:
            result, product, (value, aux) = jax.jvp(gradient, (x,), (v,), has_aux=True)
            return (value, result, aux), product

        found = found_jacobian(lambda x: gradient(x)[0], x) if given is None else given
        _check_shape(found, x, x)
        found = found.symmetric
        probe = probed and (found.rows, found.columns)
        (value, result, aux), data = recovered(found.star_coloring, push, x, probe)
        return with_aux(value, aux, has_aux), result, _arranged(data, found, x, x, dense)

    return derivatives


def _check_shape(sparsity: Sparsity, out: PyTree, x: PyTree) -> None:
    expected = tuple(sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree)) for tree in (out, x))
    if sparsity.shape != expected:
        raise ValueError(f"`sparsity` must be of shape {expected}, outputs by inputs, got {sparsity.shape}.")


def _goes_forward(linear: Callable[[PyTree], PyTree], x: PyTree) -> bool:
    """Whether a linear function can be evaluated: that of a `custom_vjp` can only be transposed."""
    return not any(each.primitive.name == "custom_lin" for each in all_equations(jax.make_jaxpr(linear)(x)))


def recovered(
    coloring: Coloring, push: Push, x: PyTree, probe: tuple[Places, Places] | Literal[False]
) -> tuple[Any, Float[Array, " entries"]]:
    """What all products share, and the entries. With `probe`, their rows and columns, they are checked."""
    colors, dtype = jnp.asarray(coloring.colors), tree.float_dtype(x)
    count = max(coloring.count, 1)
    direction = np.random.default_rng(0).standard_normal(len(coloring.colors))

    def product(color: Int[Array, ""]) -> tuple[Any, Float[Array, " rows"]]:
        v = (colors == color).astype(dtype)
        if probe:
            v = jnp.where(color == count, jnp.asarray(direction, dtype), v)
        same, result = push(tree.unravel(v, x))
        return same, tree.ravel(result)

    same, products = in_batches(product, jnp.arange(count + bool(probe)))
    places = coloring.product.astype(np.int64) * products.shape[1] + coloring.place
    data = products.reshape(-1).at[places].get(mode="promise_in_bounds", unique_indices=True)
    return same, _checked(data, coloring, products, direction, *probe) if probe else data


def _checked(
    data: Float[Array, " entries"],
    coloring: Coloring,
    products: Float[Array, "products rows"],
    direction: Float[np.ndarray, " columns"],
    rows: Places,
    columns: Places,
) -> Float[Array, " entries"]:
    """The entries, if they times a direction are the last of the products; else NaN, or an error."""
    last = products[-1]
    factors = np.zeros((len(products) - 1, len(last)))
    own = coloring.place == rows
    factors[coloring.product[own], rows[own]] = direction[columns[own]]
    terms = products[:-1] * jnp.asarray(factors, data.dtype)
    turned = np.flatnonzero(~own)  # read elsewhere, by symmetry
    others = data[turned] * jnp.asarray(direction[columns[turned]], data.dtype)

    def summed(terms: Array, others: Array) -> Array:
        sums = jnp.sum(terms, axis=0)
        return sums.at[rows[turned]].add(others) if len(turned) else sums

    rounding = float(jnp.finfo(data.dtype).eps) ** 0.5
    sizes = jnp.maximum(summed(jnp.abs(terms), jnp.abs(others)), jnp.abs(last))
    # what is not finite is not taken for a wrong sparsity, and does not hide one in other rows
    largest = jnp.max(sizes, initial=0, where=jnp.isfinite(sizes))
    off = jnp.abs(last - summed(terms, others)) > rounding * (sizes + rounding * largest)
    wrong = jax.lax.stop_gradient(jnp.any(off))
    if isinstance(wrong, Tracer):
        return data * jnp.where(wrong, jnp.nan, 1).astype(data.dtype)  # a selection of NaN would have a derivative of 0
    if bool(wrong):
        raise ValueError(
            "`sparsity` must have all entries that are not zero, got one in which some are missing: its product with a "
            "random direction is not that of the derivative. Leave it out to have it found."
        )
    return data


def _places(numbers: Places, own: Any) -> Int[np.ndarray, "entries axes"]:
    """The indices of entries with these numbers."""
    if not shape(own):
        return np.zeros((len(numbers), 0), int)
    return np.stack(np.unravel_index(numbers, shape(own)), axis=-1)


def _arranged(data: Float[Array, " entries"], found: Sparsity, out: PyTree, x: PyTree, dense: bool) -> PyTree:
    """`out`, each part replaced by an `x` of blocks."""
    from jax.experimental.sparse import BCOO  # takes long to load

    rows, columns = parts(out)[0], parts(x)[0]
    row_bounds, column_bounds = (np.cumsum([0, *(np.prod(shape(p), dtype=int) for p in of)]) for of in (rows, columns))

    def block(i: int, j: int) -> Any:
        whole = (*shape(rows[i]), *shape(columns[j]))
        inside = (found.rows >= row_bounds[i]) & (found.rows < row_bounds[i + 1])
        inside &= (found.columns >= column_bounds[j]) & (found.columns < column_bounds[j + 1])
        own = data if inside.all() else data[np.flatnonzero(inside)]
        own = own.astype(jnp.result_type(jax.tree.leaves(rows[i])[0]))
        row_numbers, column_numbers = found.rows[inside] - row_bounds[i], found.columns[inside] - column_bounds[j]
        if dense:
            numbers = row_numbers.astype(np.int64) * math.prod(shape(columns[j])) + column_numbers
            filled = jnp.zeros(math.prod(whole), own.dtype).at[numbers].set(own, unique_indices=True)
            return filled.reshape(whole)
        places = np.concatenate([_places(row_numbers, rows[i]), _places(column_numbers, columns[j])], axis=1)
        return BCOO((own, jnp.asarray(places)), shape=whole, indices_sorted=True, unique_indices=True)

    blocks = [[block(i, j) for j in range(len(columns))] for i in range(len(rows))]
    return nested(out, x, blocks, lambda part, *own: in_kind(part, *own) if dense and part.ndim <= 2 else part)
