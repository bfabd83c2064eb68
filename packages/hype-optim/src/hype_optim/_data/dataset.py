"""A data set: inputs and targets of examples, along the leading axis of arrays."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import AbstractTensor, image_grid, visualize
from hype_ad.internal.checks import check_key, integer, known
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Integer, PRNGKeyArray, PyTree, Shaped

from .partition import part_sizes, plain_parts, stratified_parts
from .rows import append_column, array_of, check_rows, row_numbers, take, tree_of_rows, weights_of
from .scaling import Scaling, standard_scaling, unit_scaling


class Dataset(eqx.Module):
    """Examples to learn from: row i of `x` goes with row i of `y`.

    A pytree of arrays, so it can be an argument of what is differentiated, compiled or mapped. Everything here that
    computes gives a new `Dataset` and is differentiable in `x`, in `weights` and, where it holds floats, in `y`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from hype_optim import Dataset
        >>> data = Dataset(jnp.arange(10.0).reshape(5, 2), jnp.array([0, 1, 0, 1, 1]))
        >>> train, valid = data.split([3, 2])
        >>> len(train), valid.x.shape
        (3, (2, 2))

    Args:
        x: the inputs, one example a row; a row can have any shape. Several inputs are a dict, a named tuple or an
            Equinox module of such arrays, of numbers or keys; lists and plain tuples are read as arrays.
        y: what belongs to them: an integer class label a row, or floats of any shape; several as for `x`. `None` if the
            inputs are all there is.
        weights: how much each example counts in a mean over them, at least 0; all alike if not given. Only their ratios
            matter: twice the weight is what the example twice would be. A row of weight 0 that is not finite is
            padding: it counts for nothing, and neither its entries nor its weight have a derivative.

    Raises:
        TypeError: if `x`, `y` or `weights` is not made of arrays of real numbers.
        ValueError: if an array has no axis of rows, their numbers of rows differ, one has a number that JAX would
            make another (without 64-bit mode an integer beyond 32 bits, or a float beyond single precision), or a
            weight is known to be below 0 or not finite.
    """

    x: PyTree[Shaped[Array, "rows ..."]]
    y: PyTree[Shaped[Array, "rows ..."]]
    weights: Float[Array, " rows"] | None

    def __init__(
        self,
        x: ArrayLike | AbstractTensor | Sequence[Any] | PyTree,
        y: ArrayLike | AbstractTensor | Sequence[Any] | PyTree | None = None,
        weights: ArrayLike | AbstractTensor | Sequence[Any] | None = None,
    ):
        self.x = tree_of_rows("x", x)
        self.y = None if y is None else tree_of_rows("y", y)
        self.weights = None if weights is None else weights_of("weights", weights)
        check_rows({"x": self.x, "y": self.y, "weights": self.weights})

    def __len__(self) -> int:
        return jax.tree.leaves(self.x)[0].shape[0]

    @overload
    def __getitem__(self, index: int) -> tuple[Any, Any]: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> "Dataset": ...

    @overload
    def __getitem__(self, index: Array) -> "Dataset | tuple[Any, Any]": ...

    def __getitem__(self, index: Any) -> "Dataset | tuple[Any, Any]":
        """One example `(x, y)` for an integer; a `Dataset` for a slice, an array of row numbers or a mask of rows.

        Raises:
            IndexError: if a known row number is out of range, or a mask has another length.
            TypeError: if `index` is something else, or a traced mask.
        """
        if isinstance(index, slice):
            return jax.tree.map(lambda leaf: leaf[index], self)
        rows = row_numbers(index, len(self))
        if rows.ndim:
            return self._take(rows)
        return jax.tree.map(lambda leaf: take(leaf, rows), (self.x, self.y))

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        leaves, structure = jax.tree.flatten((self.x, self.y))
        return (jax.tree.unflatten(structure, row) for row in zip(*leaves, strict=True))

    @property
    def labels(self) -> Integer[Array, "rows ..."]:
        """The class of each example: its `y` if that is an integer, else the place of its first largest entry.

        Raises:
            TypeError: if `y` holds one float a row, which says nothing about classes.
        """
        y = array_of("y", self.y)
        if jnp.issubdtype(y.dtype, jnp.integer):
            return y
        if y.ndim < 2 or y.shape[-1] < 2 or y.dtype == bool:
            raise TypeError(
                f"`labels` takes integers or rows of class scores in `y`, got {y.dtype} of shape {y.shape}."
            )
        return jnp.argmax(y, axis=-1)

    def map_x(self, f: Callable[[Any], Any]) -> "Dataset":
        """The data set with `f(x)` for `x`: `test.map_x(scaling)`, `data.map_x(lambda x: x / 255)`.

        Args:
            f: a function of the whole array, or pytree of arrays, that keeps the number of rows.
        """
        return Dataset(f(self.x), self.y, self.weights)

    def map_y(self, f: Callable[[Any], Any]) -> "Dataset":
        """The data set with `f(y)` for `y`; otherwise as `map_x`."""
        return Dataset(self.x, f(self.y), self.weights)

    def shuffle(self, key: PRNGKeyArray) -> "Dataset":
        """All examples in a random order; the same key gives the same order.

        Raises:
            TypeError: if `key` is not a key.
        """
        return self._take(jax.random.permutation(check_key("key", key), len(self)))

    def random_subset(self, n: int, key: PRNGKeyArray) -> "Dataset":
        """Draw `n` different examples, in random order.

        Raises:
            TypeError: if `n` is not an integer, or `key` not a key.
            ValueError: if `n` is below 1 or above the number of examples.
        """
        if integer("n", n, 1) > len(self):
            raise ValueError(f"`n` must be at most the number of examples, {len(self)}, got {n}.")
        return self._take(jax.random.permutation(check_key("key", key), len(self))[:n])

    def split(
        self,
        sizes: int | float | Sequence[int | float] | np.ndarray,
        key: PRNGKeyArray | None = None,
        *,
        stratify: bool = False,
    ) -> tuple["Dataset", ...]:
        """Divide the examples among several data sets.

        Args:
            sizes: a fraction (a float) or a count (an integer) for the first part, the second part being the rest; or a
                sequence of fractions or of counts, one for each part, that add up to all.
            key: draws which examples go where. Without it the parts are consecutive.
            stratify: whether each class of `labels` is to be as frequent in each part as in the whole. Labels must not
                be traced.

        Raises:
            TypeError: if `sizes` is not made of numbers, `key` is not a key, or `stratify` is asked for labels that are
                traced or no classes.
            ValueError: if `sizes` do not add up, or a part would be empty.
        """
        counts = part_sizes(sizes, len(self))
        key = None if key is None else check_key("key", key)
        if not stratify:
            return tuple(map(self._take, plain_parts(counts, key)))
        y = array_of("y", self.y)
        if not known(y) or self.labels.ndim != 1:
            raise TypeError(
                "`stratify` takes one class label an example that is known before compiling, got "
                f"{y.dtype} of shape {y.shape}; split outside of jit, or with stratify=False."
            )
        return tuple(map(self._take, stratified_parts(counts, np.asarray(self.labels), key)))

    def filter(self, predicate: Callable[[Any, Any], Any]) -> "Dataset":
        """Keep the examples for which `predicate(x, y)` is true: `data.filter(lambda x, y: y < 2)`.

        Args:
            predicate: called once an example, with NumPy arrays where values are known.

        Raises:
            TypeError: if the answer depends on a traced value.
            ValueError: if the answer is not a single truth value.
        """
        values = jax.tree.map(lambda leaf: np.asarray(leaf) if _has_values(leaf) else leaf, self)
        keep = [predicate(x, y) for x, y in values]
        if not all(map(known, keep)):
            raise TypeError(
                "`predicate` must be decided by known values, got a traced answer; filter outside of jit and grad."
            )
        if shapes := set(map(np.shape, keep)) - {()}:
            raise ValueError(f"`predicate` must give one truth value an example, got shape {shapes.pop()}.")
        return self._take(np.flatnonzero(list(map(bool, keep))))

    def standardize(self) -> tuple["Dataset", Scaling]:
        """Bring each feature of `x` to mean 0 and standard deviation 1 (divisor: the number of rows).

        Returns:
            The new data set, and the scaling to apply to others. A feature without variation becomes 0 (its divisor is
            1), with finite derivatives.

        Raises:
            ValueError: if there are no examples.
        """
        scaling = standard_scaling(array_of("x", self.x))
        return self.map_x(scaling), scaling

    def standardize_y(self) -> tuple["Dataset", Scaling]:
        """Bring each entry of `y` to mean 0 and standard deviation 1; otherwise as `standardize`."""
        scaling = standard_scaling(array_of("y", self.y))
        return self.map_y(scaling), scaling

    def normalize(self) -> tuple["Dataset", Scaling]:
        """Bring each feature of `x` to the range from 0 to 1; otherwise as `standardize`."""
        scaling = unit_scaling(array_of("x", self.x))
        return self.map_x(scaling), scaling

    def normalize_y(self) -> tuple["Dataset", Scaling]:
        """Bring each entry of `y` to the range from 0 to 1; otherwise as `standardize`."""
        scaling = unit_scaling(array_of("y", self.y))
        return self.map_y(scaling), scaling

    def append_x(self, feature: ArrayLike) -> "Dataset":
        """Add one feature, a value for each example, as the last column of `x`.

        Raises:
            TypeError: if `feature` is not of real numbers, or holds floats and `x` does not.
            ValueError: if `x` is not a matrix, or `feature` does not have one value for each of its rows, or has values
                that the dtype of `x` cannot hold.
        """
        return self.map_x(lambda x: append_column("x", x, "feature", feature))

    def append_y(self, target: ArrayLike) -> "Dataset":
        """Add one target, a value for each example, as the last column of `y`; otherwise as `append_x`."""
        return self.map_y(lambda y: append_column("y", y, "target", target))

    def pad(self, multiple: int) -> "Dataset":
        """The data set with as many rows more as make their number a multiple, each of weight 0: a copy of the last.

        So that rows can be spread over devices, or cut into the `shards` of a `Minibatch`: `jax.device_put(data.pad(8),
        NamedSharding(mesh, PartitionSpec("data")))`. Weighted means are as before. What does not look at weights, such
        as a `BatchNorm` or an `objective` of one's own, sees the copies.

        Args:
            multiple: of what, at least 1.

        Raises:
            TypeError: if `multiple` is not an integer.
            ValueError: if it is below 1, or there is no row to copy.
        """
        rows = len(self)
        if rows == 0:
            raise ValueError("There must be at least one row to pad with, got none.")
        extra = -rows % integer("multiple", multiple, 1)
        if extra == 0:
            return self
        weights = jnp.ones(rows) if self.weights is None else self.weights
        longer = self._take(np.minimum(np.arange(rows + extra), rows - 1))
        return Dataset(longer.x, longer.y, jnp.concatenate([weights, jnp.zeros(extra, weights.dtype)]))

    def append_bias(self) -> "Dataset":
        """Add a feature that is 1 everywhere, as the last column of `x`.

        Raises:
            ValueError: if `x` is not a matrix.
        """
        return self.append_x(jnp.ones(len(self), array_of("x", self.x).dtype))

    def flatten(self) -> "Dataset":
        """Make each example's `x` a vector."""
        return self.map_x(partial(jax.tree.map, _flat))

    def one_hot(self, num_classes: int | None = None) -> "Dataset":
        """Replace integer labels in `y` by vectors with a 1 at the label and 0 elsewhere.

        Args:
            num_classes: their length; if not given, the largest label plus one, which must then be known.

        Raises:
            TypeError: if `y` does not hold integers, or is traced and `num_classes` is not given.
            ValueError: if a known label is below 0 or not below `num_classes`.
        """
        y = array_of("y", self.y)
        if not jnp.issubdtype(y.dtype, jnp.integer):
            raise TypeError(f"`one_hot` takes integer class labels in `y`, got {y.dtype}.")
        labels = np.asarray(y) if known(y) else np.zeros(0, int)
        if num_classes is None:
            if labels.size == 0:
                raise TypeError("`num_classes` must be given where `y` is traced or empty.")
            num_classes = int(labels.max()) + 1
        num_classes = integer("num_classes", num_classes, 1)
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(
                f"Labels in `y` must be from 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}."
            )
        floats = [leaf.dtype for leaf in jax.tree.leaves(self.x) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        dtype = floats[0] if floats else jnp.result_type(float)
        return self.map_y(lambda y: jax.nn.one_hot(y, num_classes, dtype=dtype))

    def image_grid(self, image_rows: int | None = None) -> Array:
        """Lay out the examples' `x`, each an image, as one picture: for `plt.imshow`, or `hype_ad.visualize`.

        Args:
            image_rows: the height of an image, where `x` is a matrix with an image a row, pixel row by pixel row. Not
                needed where `x` holds matrices.

        Returns:
            A grid about as tall as wide, in the order of the examples, as `hype_ad.image_grid` makes it.

        Raises:
            ValueError: if there are no examples, `x` holds no images, or `image_rows` does not divide their length.
        """
        x = array_of("x", self.x)
        if x.ndim == 3 and image_rows is None:
            image_rows = x.shape[1]
        if x.ndim not in (2, 3) or image_rows is None:
            raise ValueError(
                "An image grid takes matrices in `x`, or vectors and `image_rows`, the height of the images that they "
                f"are; got `x` of shape {x.shape} and image_rows={image_rows}."
            )
        return image_grid(self.flatten().x, image_rows)

    def visualize(self, image_rows: int | None = None) -> str:
        """Draw the data set as text: a line of `x` for each example, or a grid of images, then `y`.

        Args:
            image_rows: as in `image_grid`, for a grid of images.

        Raises:
            ValueError: if there are no examples, or `x` holds no images of that height.
        """
        if len(self) == 0:
            raise ValueError("A data set without examples has no picture.")
        x, y = array_of("x", self.x), array_of("y", self.y)
        images = x.ndim == 3 or image_rows is not None
        picture = self.image_grid(image_rows) if images else _flat(x)
        shapes = f"x of shape {x.shape}, y of shape {y.shape}"
        parts = [f"Dataset : {len(self)} examples, {shapes}", "x", visualize(picture), "y", visualize(_flat(y))]
        return "\n".join(parts)

    def _take(self, rows: Int[Array | np.ndarray, " part"]) -> "Dataset":
        return jax.tree.map(lambda leaf: take(leaf, rows), self)


def _flat(rows: Shaped[Array, "rows ..."]) -> Shaped[Array, "rows numbers"]:
    return rows.reshape(rows.shape[0], int(np.prod(rows.shape[1:])))


def _has_values(leaf: Array) -> bool:
    return known(leaf) and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
