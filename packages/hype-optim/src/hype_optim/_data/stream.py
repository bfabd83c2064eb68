"""Examples that stay where they are, in files or behind another library, and are read while a training runs."""

import itertools
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import function, integer
from hype_ad.internal.narrowing import check_fits
from jaxtyping import Array, Int, PyTree

from .dataset import Dataset

Read = Callable[[np.ndarray], Any]
"""From row numbers to the examples there: `x`, `(x, y)` or `(x, y, weights)`, arrays or pytrees of them."""


class Stream(eqx.Module):
    """Examples that do not fit into memory: read by row numbers, a chunk at a time, while a training runs.

    `train` takes it wherever it takes a `Dataset`. The steps are the same compiled ones, and with the same key their
    losses and the weights too; means over all rows differ by rounding. While the steps of one chunk are made a thread
    reads the next one. Derivatives with respect to hyperparameters and weights are exact: the reverse pass reads all
    chunks again, once for each level of its adjoint. There are none with respect to the data. A chunk is what the
    adjoint's segment of steps looks at, for `Checkpointed(2)` the batches of about the square root of the number of
    steps; for a mean over all rows it is the square root of the number of batches.

    Args:
        read: a function from a vector of row numbers, in any order, to the examples there, as `Dataset` takes them:
            `x`, `(x, y)` or `(x, y, weights)`, NumPy arrays or pytrees of them. The same numbers must give the same
            examples. It is called in other threads than that which trains, and must not call JAX.
        rows: the number of examples.

    Raises:
        TypeError: if `read` is not a function or gives something else than arrays of numbers, or if `rows` is not an
            integer.
        ValueError: if `rows` is below 1, or if what `read` gives for the first row is no example.
    """

    rows: int = eqx.field(static=True)
    number: Int[
        Array, ""
    ]  # of its reader: programs hold this, so that another stream of the same kind is no new program
    kind: tuple = eqx.field(static=True)  # the structure of an example, and the shapes and dtypes of its arrays

    def __init__(self, read: Read, rows: int):
        self.rows = integer("rows", rows, 1)
        reader = Reader(function("read", read, "a function from row numbers to arrays"), self.rows)
        leaves, structure = jax.tree.flatten(reader.one)
        self.kind = structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        _readers[reader.number] = reader
        self.number = jnp.array(reader.number)
        weakref.finalize(self, _let_go, reader.number)

    @classmethod
    def of_arrays(cls, x: PyTree, y: PyTree = None, weights: PyTree = None) -> "Stream":
        """Examples in arrays that are read by row numbers, such as `np.load("x.npy", mmap_mode="r")`.

        Args:
            x: an array, or a pytree of arrays, that a NumPy vector of row numbers is an index of, as for memory-mapped
                files and Zarr.
            y: likewise, or `None`.
            weights: likewise, or `None`.

        Raises:
            TypeError: if something is no array.
            ValueError: if they have different numbers of rows.
        """
        parts = (x, y, weights)
        if isinstance(x, Dataset) or not all(hasattr(leaf, "shape") for leaf in jax.tree.leaves(parts)):
            raise TypeError(
                "`x`, `y` and `weights` must be arrays or pytrees of them, with a `shape` and rows by index."
            )
        lengths = {leaf.shape[0] for leaf in jax.tree.leaves(parts)}
        if len(lengths) != 1:
            raise ValueError(f"`x`, `y` and `weights` must have the same number of rows, got {sorted(lengths)}.")
        return cls(lambda rows: jax.tree.map(lambda leaf: np.asarray(leaf[rows]), parts), lengths.pop())

    @classmethod
    def of_items(cls, source: Sequence[Any], example: Callable[[Any], Any]) -> "Stream":
        """Examples behind `source[i]`, one at a time: a PyTorch or Hugging Face data set, a source of grain.

        Args:
            source: what has a length and can be indexed by an integer.
            example: from such an item to `x`, `(x, y)` or `(x, y, weights)`, numbers or arrays of the same shapes for
                all items: `lambda item: (item["image"], item["label"])`.
        """
        function("example", example, "a function from an item to (x, y)")

        def read(rows: np.ndarray) -> Any:
            examples = [jax.tree.map(np.asarray, example(source[int(row)])) for row in rows]
            return jax.tree.map(lambda *leaves: np.stack(leaves), *examples)

        return cls(read, len(source))

    def __len__(self) -> int:
        return self.rows

    @property
    def labels(self) -> Int[Array, " rows"]:
        """The class of each example, for which all of them are read."""
        return self.at(jnp.arange(self.rows)).labels

    @property
    def one(self) -> Dataset:
        """The shapes of one example."""
        structure, shapes = self.kind
        return jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes])

    def in_blocks(
        self, numbers: Int[Array, "n blocks each"], soon: Sequence[Int[Array, "n blocks each"]] = ()
    ) -> Dataset:
        """The examples with these numbers within each block of the rows, those of a block together.

        Args:
            numbers: of the rows, within blocks of as many consecutive ones.
            soon: the numbers of those that may be asked for next.
        """
        n, blocks, each = numbers.shape
        block = self.rows // blocks
        within = lambda numbers: (numbers + block * jnp.arange(blocks)[None, :, None]).reshape(n, blocks * each)
        return self.at(within(numbers), [within(numbers) for numbers in soon])

    def at(self, rows: Int[Array, "..."], soon: Sequence[Int[Array, "..."]] = ()) -> Dataset:
        """The examples with these row numbers, which give their shape to the rows, read when the program runs.

        Args:
            rows: their numbers.
            soon: the numbers of those that may be asked for next, of the same shape as `rows`.
        """
        leaves, structure = jax.tree.flatten(self.one)
        shapes = [jax.ShapeDtypeStruct(rows.shape + leaf.shape, leaf.dtype) for leaf in leaves]
        # One array, since handing over one takes JAX longer than looking up the rows.
        asked = jnp.stack([jnp.broadcast_to(self.number, rows.shape), rows, *soon], axis=-1)
        read = jax.pure_callback(_read, shapes, asked, vmap_method="broadcast_all")
        return jax.tree.unflatten(structure, read)


class Reader:
    """Reads examples, those that will be asked for next in a thread of its own."""

    def __init__(self, read: Read, rows: int):
        self.number, self._read, self._rows = next(_numbers), read, rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hype-stream")
        self._ahead: OrderedDict[bytes, Future] = OrderedDict()
        self._asked: list[bytes] = []
        first = Dataset(*_parts(read(np.arange(1))))
        if len(first) != 1:
            raise ValueError(f"`read` must give one row for each row number, got {len(first)} for one.")
        self.one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), first)
        self.now(np.array([rows - 1]))

    def __call__(self, rows: np.ndarray, *soon: np.ndarray) -> list[np.ndarray]:
        """The examples at `rows`, and begin to read those of `soon`, of which the one behind was asked for before."""
        key = rows.tobytes()
        future = self._ahead.pop(key, None)
        examples = self.now(rows.ravel()) if future is None else future.result()
        nearby = [n for n in soon if n.tobytes() not in (key, *self._asked[-1:])]
        self._asked = [*self._asked[-1:], key]
        for numbers in nearby[:1]:
            if numbers.tobytes() not in self._ahead:
                self._ahead[numbers.tobytes()] = self._thread.submit(self.now, numbers.ravel())
        while len(self._ahead) > 2:  # what was expected and not asked for
            self._ahead.popitem(last=False)[1].cancel()
        return [leaf.reshape(rows.shape + leaf.shape[1:]) for leaf in examples]

    def now(self, rows: np.ndarray) -> list[np.ndarray]:
        """The arrays of the examples at a vector of row numbers, checked against the first example."""
        leaves = jax.tree.leaves(_parts(self._read(rows)), is_leaf=lambda node: type(node) is list)
        expected = jax.tree.leaves(self.one)
        if len(leaves) != len(expected):
            raise ValueError(f"`read` must give {len(expected)} arrays for all rows, got {len(leaves)}.")
        return [self._checked(leaf, len(rows), like) for leaf, like in zip(leaves, expected, strict=True)]

    def _checked(self, leaf: Any, rows: int, like: jax.ShapeDtypeStruct) -> np.ndarray:
        array = np.asarray(leaf)
        if array.shape != (rows, *like.shape):
            raise ValueError(
                f"`read` must give an array of shape {(rows, *like.shape)} for {rows} of {self._rows} rows, got "
                f"{array.shape}: the source ends early, or its rows are of several shapes."
            )
        check_fits("read", array, like.dtype)
        return array.astype(like.dtype, copy=False)


def _parts(given: Any) -> tuple[Any, Any, Any]:
    parts = given if type(given) is tuple else (given,)
    if len(parts) > 3:
        raise TypeError(f"`read` must give `x`, `(x, y)` or `(x, y, weights)`, got a tuple of {len(parts)}.")
    x, y, weights, *_ = (*parts, None, None)
    return x, y, weights


_numbers = itertools.count()
_readers: dict[int, Reader] = {}
_let_go_of: deque[Reader] = deque(maxlen=8)  # a program may still run when its stream is gone


def _let_go(number: int) -> None:
    _let_go_of.append(_readers[number])  # before it is gone from there: another thread may look for it
    del _readers[number]


def _reader(number: int) -> Reader:
    reader = _readers.get(number) or next((reader for reader in tuple(_let_go_of) if reader.number == number), None)
    if reader is None:
        raise ValueError("The Stream that a program was to read is gone: keep it as long as the program.")
    return reader


def _read(asked: Array) -> list[np.ndarray]:
    number, *rows = np.moveaxis(np.asarray(asked), -1, 0)
    return _reader(int(number.flat[0]))(*rows)
