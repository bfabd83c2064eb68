"""Points and values as vectors of NumPy, and the differences along directions that all operators here are made of."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from .._central_difference import central_difference
from .._diff.point import check_floats, is_tensor, labeled, parts, shape

Vector = Float[np.ndarray, " _"]
Matrix = Float[np.ndarray, "_ _"]

_RTOL = 1e-9  # where extrapolation stops: about what rounding leaves of a second derivative


class Point(NamedTuple):
    """A pytree of floats, and its numbers in one vector of float64."""

    tree: PyTree
    numbers: Vector

    @staticmethod
    def of(operator: str, name: str, tree: PyTree) -> "Point":
        """Checks and flattens `tree`."""
        check_floats(operator, name, tree)
        leaves = jax.tree.leaves(tree)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            raise TypeError(
                f"numerical.{operator}: {name} must be numbers; got a traced array. Differences are taken outside of "
                f"jit, vmap and derivatives; use hype_ad.{operator} inside."
            )
        return Point(tree, np.concatenate([np.asarray(leaf, np.float64).reshape(-1) for leaf in leaves]))

    def moved(self, numbers: Vector) -> PyTree:
        """The pytree with other numbers, each leaf of the type that it has here."""
        leaves, structure = jax.tree.flatten(self.tree)
        moved, start = [], 0
        for leaf in leaves:
            piece = numbers[start : start + np.size(leaf)].reshape(np.shape(leaf))
            moved.append(_as(piece, leaf))
            start += np.size(leaf)
        return jax.tree.unflatten(structure, moved)

    @property
    def epsilon(self) -> float:
        """Rounding error of the least exact leaf."""
        return float(max(jnp.finfo(np.asarray(leaf).dtype).eps for leaf in jax.tree.leaves(self.tree)))


class Differences:
    """The derivatives of `f` at `x` along directions; `f` is evaluated at `x` once."""

    def __init__(self, operator: str, f: Callable[[Any], Any], x: PyTree, check: Callable[[Any], None] | None = None):
        self.operator = operator
        self.f = f
        self.x = Point.of(operator, "x", x)
        self.value = Point.of(operator, "f(x)", f(x))
        if check is not None:
            check(self.value.tree)

    def along(self, direction: Vector, order: int = 1) -> Vector:
        """The derivative of `order` along `direction`, of every number of f(x)."""

        def moved(t: float) -> Vector:
            if t == 0.0:
                return self.value.numbers
            value = self.f(self.x.moved(self.x.numbers + t * direction))
            return Point.of(self.operator, "f(x)", value).numbers

        epsilon = max(self.x.epsilon, self.value.epsilon)
        return central_difference(moved, order=order, rtol=_RTOL, atol=1e-3 * _RTOL, epsilon=epsilon)[0]

    def jacobian(self) -> Matrix:
        """Numbers of f(x) by numbers of x."""
        return np.stack([self.along(unit) for unit in np.eye(self.x.numbers.size)], axis=1)

    def hessian_diag(self) -> Vector:
        """Second derivatives of a single number along each axis."""
        return np.array([self.along(unit, 2)[0] for unit in np.eye(self.x.numbers.size)])

    def hessian_product(self, v: Vector) -> Vector:
        """The Hessian of a single number times `v`, from second derivatives along axis + v and axis - v."""
        length = float(np.linalg.norm(v))
        if length == 0.0:
            return np.zeros_like(v)
        unit = v / length
        return np.array(
            [
                length * (self.along(axis + unit, 2)[0] - self.along(axis - unit, 2)[0]) / 4
                for axis in np.eye(self.x.numbers.size)
            ]
        )

    def hessian(self) -> Matrix:
        """Hessian of a single number."""
        axes = np.eye(self.x.numbers.size)
        matrix = np.diag(self.hessian_diag())
        for i, j in zip(*np.triu_indices(len(axes), 1), strict=True):
            mixed = self.along(axes[i] + axes[j], 2)[0] - self.along(axes[i] - axes[j], 2)[0]
            matrix[i, j] = matrix[j, i] = mixed / 4
        return matrix

    def like_x(self, numbers: Vector) -> PyTree:
        """`numbers` as a point like `x`."""
        return self.x.moved(numbers)

    def like_value(self, numbers: Vector) -> PyTree:
        """`numbers` as a value like f(x)."""
        return self.value.moved(numbers)

    def number(self, number: float) -> Any:
        """`number` in the kind that `x` and f(x) have."""
        return in_kind_of(np.asarray(number), parts(self.x.tree)[0] + parts(self.value.tree)[0])

    def blocks(self, matrix: Matrix, rows: PyTree, columns: PyTree) -> PyTree:
        """`rows`, each part replaced by a `columns` of blocks."""
        (outer, outer_structure), (inner, inner_structure) = parts(rows), parts(columns)
        row_ends = np.cumsum([int(np.prod(shape(part))) for part in outer])[:-1]
        column_ends = np.cumsum([int(np.prod(shape(part))) for part in inner])[:-1]
        arranged = []
        for row, strip in zip(outer, np.split(matrix, row_ends), strict=True):
            pieces = zip(inner, np.split(strip, column_ends, axis=1), strict=True)
            line = [in_kind_of(piece.reshape(shape(row) + shape(column)), [row, column]) for column, piece in pieces]
            arranged.append(jax.tree.unflatten(inner_structure, line))
        return jax.tree.unflatten(outer_structure, arranged)


def in_kind_of(array: Float[np.ndarray, "..."], like: Sequence[Any]) -> Any:
    """A tensor if any of `like` is one, else a JAX array if any is one, else NumPy's."""
    if any(isinstance(part, jax.Array) or is_tensor(part) for part in like):
        return labeled(jnp.asarray(array, jnp.result_type(float)), *like)
    return array[()]


def _as(numbers: Float[np.ndarray, "..."], leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):
        return jnp.asarray(numbers, leaf.dtype)
    if isinstance(leaf, np.ndarray | np.generic):
        return np.asarray(numbers, leaf.dtype)[()]
    return float(numbers)
