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
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec, reshard
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
        rows: the number of examples, in all processes.
        sharding: where examples go: `NamedSharding(mesh, PartitionSpec("data"))` spreads the rows, in as many blocks of
            consecutive ones as there are devices along the axis `"data"`, over these devices. `read` is then asked in
            each process for rows of the blocks of its own devices alone (and for the shapes first of the first row of
            these, `local_rows(sharding, rows)[0]`), so that it need not have any others. It takes a
            `Minibatch(n, shards=...)`.

    Raises:
        TypeError: if `read` is not a function or gives something else than arrays of numbers, or if `rows` is not an
            integer.
        ValueError: if `rows` is below 1, or no multiple of the number of devices, or if what `read` gives for the first
            row is no example.
    """

    rows: int = eqx.field(static=True)
    number: Int[Array, ""]  # of its reader: programs hold it, so that another stream of the same kind is no new program
    kind: tuple = eqx.field(static=True)  # the structure of an example, and the shapes and dtypes of its arrays
    sharding: NamedSharding | None = eqx.field(static=True)

    def __init__(self, read: Read, rows: int, *, sharding: NamedSharding | None = None):
        self.rows, self.sharding = integer("rows", rows, 1), sharding
        own = range(self.rows) if sharding is None else local_rows(sharding, self.rows)
        reader = Reader(function("read", read, "a function from row numbers to arrays"), own)
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
    def devices(self) -> int:
        """Over how many devices the rows are spread."""
        return 1 if self.sharding is None else -(-self.rows // self.sharding.shard_shape((self.rows,))[0])

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
        count = numbers.shape[1]
        block = self.rows // count

        def read(number: Array, who: Array, first: Array, *asked: Array) -> Dataset:
            n, blocks, each = asked[0].shape
            rows = [(x + block * (first + jnp.arange(blocks))[None, :, None]).reshape(n, blocks * each) for x in asked]
            return self._read(number, who, *rows)

        nobody = jnp.zeros_like(self.number)
        if self.sharding is None:
            return read(self.number, nobody, nobody, numbers, *soon)
        mesh, axis = self.sharding.mesh, self.sharding.spec[0]

        def read_own(number: Array, *asked: Array) -> Dataset:
            who = lax.axis_index(axis).astype(number.dtype)
            return read(number, who, who * asked[0].shape[1], *asked)

        over = PartitionSpec(None, axis)
        asked = [reshard(x, over) if is_explicit(mesh) else x for x in (numbers, *soon)]
        specs = (PartitionSpec(), *(over for _ in asked))
        return jax.shard_map(read_own, mesh=mesh, in_specs=specs, out_specs=over, check_vma=False)(self.number, *asked)

    def at(self, rows: Int[Array, "..."], soon: Sequence[Int[Array, "..."]] = ()) -> Dataset:
        """The examples with these row numbers, which give their shape to the rows, read when the program runs.

        Args:
            rows: their numbers.
            soon: the numbers of those that may be asked for next, of the same shape as `rows`.
        """
        return self._read(self.number, jnp.zeros_like(self.number), rows, *soon)

    def _read(self, number: Array, who: Array, rows: Int[Array, "..."], *soon: Int[Array, "..."]) -> Dataset:
        leaves, structure = jax.tree.flatten(self.one)
        shapes = [jax.ShapeDtypeStruct(rows.shape + leaf.shape, leaf.dtype) for leaf in leaves]
        # One array, since handing over one takes JAX longer than looking up the rows.
        known = [jnp.broadcast_to(x, rows.shape) for x in (number, who)]
        asked = jnp.stack([*known, rows, *soon], axis=-1)
        read = jax.pure_callback(_read, shapes, asked, vmap_method="broadcast_all")
        return jax.tree.unflatten(structure, read)


def local_rows(sharding: NamedSharding, rows: int) -> range:
    """The rows that belong to the devices of this process, where they are spread as by `jax.device_put(x, sharding)`.

    Args:
        sharding: such as `NamedSharding(mesh, PartitionSpec("data"))`.
        rows: how many there are in all processes.

    Raises:
        TypeError: if `sharding` is not a `NamedSharding` of rows along an axis.
        ValueError: if `rows` is no multiple of the number of devices along it, or if those of this process are not
            beside each other.
    """
    if not isinstance(sharding, NamedSharding) or not sharding.spec or sharding.spec[0] is None:
        raise TypeError(f'`sharding` must spread rows: NamedSharding(mesh, PartitionSpec("data")), got {sharding!r}.')
    own = sharding.addressable_devices_indices_map((rows,)).values()
    parts = {index[0].indices(rows)[:2] for index in own if index is not None}
    ordered = sorted(parts)
    if any(stop != start for (_, stop), (start, _) in itertools.pairwise(ordered)):
        raise ValueError(f"The rows of a process must be beside each other, got {ordered}: order the mesh by process.")
    return range(ordered[0][0], ordered[-1][1])


class Reader:
    """Reads examples, those that will be asked for next in a thread of its own."""

    def __init__(self, read: Read, rows: range):
        self.number, self._read, self._rows = next(_numbers), read, rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hype-stream")
        self._ahead: OrderedDict[bytes, Future] = OrderedDict()
        self._asked: dict[int, list[bytes]] = {}  # by whom
        first = Dataset(*_parts(read(np.array([rows[0]]))))
        if len(first) != 1:
            raise ValueError(f"`read` must give one row for each row number, got {len(first)} for one.")
        self.one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), first)
        self.now(np.array([rows[-1]]))

    def __call__(self, who: int, rows: np.ndarray, *soon: np.ndarray) -> list[np.ndarray]:
        """The examples at `rows`, and begin to read those of `soon`, of which the one behind was asked for before.

        Devices ask in turn, each for its own rows, and are told apart by `who` they are.
        """
        asked = self._asked.setdefault(who, [])
        key = rows.tobytes()
        future = self._ahead.pop(key, None)
        examples = self.now(rows.ravel()) if future is None else future.result()
        nearby = [n for n in soon if n.tobytes() not in (key, *asked[-1:])]
        self._asked[who] = [*asked[-1:], key]
        for numbers in nearby[:1]:
            if numbers.tobytes() not in self._ahead:
                self._ahead[numbers.tobytes()] = self._thread.submit(self.now, numbers.ravel())
        while len(self._ahead) > 2 * len(self._asked):  # what was expected and not asked for
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
                f"`read` must give an array of shape {(rows, *like.shape)} for {rows} of {len(self._rows)} rows, got "
                f"{array.shape}: the source ends early, or its rows are of several shapes."
            )
        check_fits("read", array, like.dtype)
        return array.astype(like.dtype, copy=False)


def is_explicit(mesh: Any) -> bool:
    """Whether the axes of a mesh are explicit, so that types say what is sharded along them."""
    return AxisType.Explicit in mesh.axis_types


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
    number, who, *rows = np.moveaxis(np.asarray(asked), -1, 0)
    return _reader(int(number.flat[0]))(int(who.flat[0]), *rows)
