"""A data set: inputs and targets of examples, along the leading axis of two arrays."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import AbstractTensor, image_grid, visualize
from hype_ad.internal.checks import check_key, integer, known
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Int, Integer, Num, PRNGKeyArray

from .partition import part_sizes, plain_parts, stratified_parts
from .rows import append_column, row_numbers, rows_of, take
from .scaling import Scaling, standard_scaling, unit_scaling


class Dataset(eqx.Module):
    """Examples to learn from: row i of `x` goes with row i of `y`.

    A pytree of two arrays, so it can be an argument of what is differentiated, compiled or mapped. Everything here that
    computes gives a new `Dataset` and is differentiable in `x` and, where it holds floats, in `y`.

    Args:
        x: the inputs, one example a row; a row can have any shape.
        y: what belongs to them: an integer class label a row, or floats of any shape.

    Raises:
        TypeError: if `x` or `y` is not an array of real numbers.
        ValueError: if `x` or `y` has no axis of rows, their numbers of rows differ, or one has a number that JAX would
            make another (without 64-bit mode an integer beyond 32 bits, or a float beyond single precision).
    """

    x: Num[Array, "rows ..."] | Bool[Array, "rows ..."]
    y: Num[Array, "rows ..."] | Bool[Array, "rows ..."]

    def __init__(self, x: ArrayLike | AbstractTensor | Sequence[Any], y: ArrayLike | AbstractTensor | Sequence[Any]):
        self.x = rows_of("x", x)
        self.y = rows_of("y", y)
        if self.x.shape[0] != self.y.shape[0]:
            raise ValueError(
                f"`x` has {self.x.shape[0]} rows (shape {self.x.shape}) and `y` has {self.y.shape[0]} "
                f"(shape {self.y.shape}); each example needs a row of both."
            )

    def __len__(self) -> int:
        return self.x.shape[0]

    @overload
    def __getitem__(self, index: int) -> tuple[Array, Array]: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> "Dataset": ...

    @overload
    def __getitem__(self, index: Array) -> "Dataset | tuple[Array, Array]": ...

    def __getitem__(self, index: Any) -> "Dataset | tuple[Array, Array]":
        """One example `(x, y)` for an integer; a `Dataset` for a slice, an array of row numbers or a mask of rows.

        Raises:
            IndexError: if a known row number is out of range, or a mask has another length.
            TypeError: if `index` is something else, or a traced mask.
        """
        if isinstance(index, slice):
            return Dataset(self.x[index], self.y[index])
        rows = row_numbers(index, len(self))
        return (take(self.x, rows), take(self.y, rows)) if rows.ndim == 0 else self._take(rows)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        return zip(self.x, self.y, strict=True)

    @property
    def labels(self) -> Integer[Array, "rows ..."]:
        """The class of each example: its `y` if that is an integer, else the place of its first largest entry.

        Raises:
            TypeError: if `y` holds one float a row, which says nothing about classes.
        """
        if jnp.issubdtype(self.y.dtype, jnp.integer):
            return self.y
        if self.y.ndim < 2 or self.y.shape[-1] < 2 or self.y.dtype == bool:
            raise TypeError(
                f"`labels` takes integers or rows of class scores in `y`, got {self.y.dtype} of shape {self.y.shape}."
            )
        return jnp.argmax(self.y, axis=-1)

    def map_x(self, f: Callable[[Array], ArrayLike]) -> "Dataset":
        """The data set with `f(x)` for `x`: `test.map_x(scaling)`, `data.map_x(lambda x: x / 255)`.

        Args:
            f: a function of the whole array that keeps the number of rows.
        """
        return Dataset(f(self.x), self.y)

    def map_y(self, f: Callable[[Array], ArrayLike]) -> "Dataset":
        """The data set with `f(y)` for `y`.

        Args:
            f: a function of the whole array that keeps the number of rows.
        """
        return Dataset(self.x, f(self.y))

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
        if not known(self.y) or self.labels.ndim != 1:
            raise TypeError(
                "`stratify` takes one class label an example that is known before compiling, got "
                f"{self.y.dtype} of shape {self.y.shape}; split outside of jit, or with stratify=False."
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
        xs, ys = [np.asarray(array) if known(array) else array for array in (self.x, self.y)]
        keep = [predicate(x, y) for x, y in zip(xs, ys, strict=True)]
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
        scaling = standard_scaling(self.x)
        return self.map_x(scaling), scaling

    def standardize_y(self) -> tuple["Dataset", Scaling]:
        """Bring each entry of `y` to mean 0 and standard deviation 1; otherwise as `standardize`."""
        scaling = standard_scaling(self.y)
        return self.map_y(scaling), scaling

    def normalize(self) -> tuple["Dataset", Scaling]:
        """Bring each feature of `x` to the range from 0 to 1.

        Returns:
            The new data set, and the scaling to apply to others. A feature without variation becomes 0 (its divisor is
            1), with finite derivatives.

        Raises:
            ValueError: if there are no examples.
        """
        scaling = unit_scaling(self.x)
        return self.map_x(scaling), scaling

    def normalize_y(self) -> tuple["Dataset", Scaling]:
        """Bring each entry of `y` to the range from 0 to 1; otherwise as `normalize`."""
        scaling = unit_scaling(self.y)
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
        """Add one target, a value for each example, as the last column of `y`.

        Raises:
            TypeError: if `target` is not of real numbers, or holds floats and `y` does not.
            ValueError: if `y` is not a matrix, or `target` does not have one value for each of its rows, or has values
                that the dtype of `y` cannot hold.
        """
        return self.map_y(lambda y: append_column("y", y, "target", target))

    def append_bias(self) -> "Dataset":
        """Add a feature that is 1 everywhere, as the last column of `x`.

        Raises:
            ValueError: if `x` is not a matrix.
        """
        return self.append_x(jnp.ones(len(self), self.x.dtype))

    def flatten(self) -> "Dataset":
        """Make each example's `x` a vector."""
        return self.map_x(lambda x: x.reshape(len(self), int(np.prod(x.shape[1:]))))

    def one_hot(self, num_classes: int | None = None) -> "Dataset":
        """Replace integer labels in `y` by vectors with a 1 at the label and 0 elsewhere.

        Args:
            num_classes: their length; if not given, the largest label plus one, which must then be known.

        Raises:
            TypeError: if `y` does not hold integers, or is traced and `num_classes` is not given.
            ValueError: if a known label is below 0 or not below `num_classes`.
        """
        if not jnp.issubdtype(self.y.dtype, jnp.integer):
            raise TypeError(f"`one_hot` takes integer class labels in `y`, got {self.y.dtype}.")
        labels = np.asarray(self.y) if known(self.y) else np.zeros(0, int)
        if num_classes is None:
            if labels.size == 0:
                raise TypeError("`num_classes` must be given where `y` is traced or empty.")
            num_classes = int(labels.max()) + 1
        num_classes = integer("num_classes", num_classes, 1)
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(
                f"Labels in `y` must be from 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}."
            )
        dtype = self.x.dtype if jnp.issubdtype(self.x.dtype, jnp.floating) else jnp.result_type(float)
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
        if self.x.ndim == 3 and image_rows is None:
            image_rows = self.x.shape[1]
        if self.x.ndim not in (2, 3) or image_rows is None:
            raise ValueError(
                "An image grid takes matrices in `x`, or vectors and `image_rows`, the height of the images that they "
                f"are; got `x` of shape {self.x.shape} and image_rows={image_rows}."
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
        images = self.x.ndim == 3 or image_rows is not None
        x = self.image_grid(image_rows) if images else self.flatten().x
        y = self.y.reshape(len(self), int(np.prod(self.y.shape[1:])))
        shapes = f"x of shape {self.x.shape}, y of shape {self.y.shape}"
        return "\n".join([f"Dataset : {len(self)} examples, {shapes}", "x", visualize(x), "y", visualize(y)])

    def _take(self, rows: Int[Array | np.ndarray, " part"]) -> "Dataset":
        return Dataset(take(self.x, rows), take(self.y, rows))
