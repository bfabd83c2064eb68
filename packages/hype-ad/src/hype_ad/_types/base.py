"""The base class of `D`, `DV` and `DM`: one array of floats, NumPy's operators, JAX's and NumPy's protocols.

A tensor is a label on an array. Its rank is checked when a user makes one from numbers, never when JAX rebuilds one
from leaves: there a leaf may be a tracer of another rank (`vmap`), a shape, a sharding, a boolean or nothing at all.
Operations look at the rank that the array has, so a `DM` that `vmap` took apart into rows computes as vectors do.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from equinox import AbstractVar
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ..internal.extremes import largest, smallest
from .by_rank import is_tensor, of_rank
from .indexing import Edits, indexed
from .methods import apply_ufunc, compare, comparison, operators, products, reduction
from .show import show
from .smooth import absolute, power

Self = TypeVar("Self", bound="AbstractTensor")


class AbstractTensor(eqx.Module):
    """An immutable array of floats whose rank is part of its type: `D`, `DV` or `DM`.

    Methods and attributes have the names and meanings that they have on a JAX array. Operators mean what they mean in
    NumPy, accept numbers and arrays on either side, and give the type of the result's rank; comparisons give plain
    boolean arrays, so, as for arrays, `==` is elementwise and tensors are not hashable.
    """

    array: AbstractVar[Float[Array, "..."]]

    # Equinox would make a pytree of each method that is looked up, for half of what tracing an operation costs.
    __getattribute__ = object.__getattribute__

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        """The float type of the elements."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.array.size

    @property
    def T(self: Self) -> Self:
        """The transpose; a scalar or a vector is its own."""
        return of_rank(self.array.T)

    @property
    def at(self) -> Edits:
        """Functional updates: `v.at[i].set(value)`, and `add`, `multiply`, `min`, `max`."""
        return Edits(self.array)

    def astype(self: Self, dtype: DTypeLike) -> Self:
        """The same numbers in another float type.

        Raises:
            TypeError: if `dtype` is not a float type: convert `.array` then.
        """
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"`dtype` must be a float type, got {dtype}. Use .array.astype({dtype}) for an array.")
        return of_rank(self.array.astype(dtype))

    def reshape(self, *shape: Any) -> Any:
        """The elements, in row-major order, in another shape of rank 0, 1 or 2; one length may be -1."""
        return of_rank(self.array.reshape(*shape))

    def ravel(self) -> Any:
        """The elements, in row-major order, as a vector."""
        return of_rank(self.array.ravel())

    def item(self, *index: int) -> float:
        """The only element, or the one at `index`, as a Python float."""
        return self.array.item(*index)

    def tolist(self) -> Any:
        """The elements as (nested lists of) Python floats."""
        return self.array.tolist()

    def block_until_ready(self: Self) -> Self:
        """Waits until the values have been computed."""
        return of_rank(self.array.block_until_ready())

    @reduction
    def sum(self, axis: int | None = None) -> Array:
        """The sum over `axis`, or of all elements."""
        return jnp.sum(self.array, axis)

    @reduction
    def prod(self, axis: int | None = None) -> Array:
        """The product over `axis`, or of all elements."""
        return jnp.prod(self.array, axis)

    @reduction
    def mean(self, axis: int | None = None) -> Array:
        """The mean over `axis`, or of all elements."""
        return jnp.mean(self.array, axis)

    @reduction
    def var(self, axis: int | None = None, *, ddof: int = 0) -> Array:
        """The variance with divisor n - `ddof`; `hype_ad.variance` has n - 1."""
        return jnp.var(self.array, axis, ddof=ddof)

    @reduction
    def max(self, axis: int | None = None) -> Array:
        """The largest element; tied elements share the derivative equally."""
        return largest(self.array, axis)

    @reduction
    def min(self, axis: int | None = None) -> Array:
        """The smallest element; tied elements share the derivative equally."""
        return smallest(self.array, axis)

    def argmax(self, axis: int | None = None) -> Int[Array, "..."]:
        """Where the largest element is, the first one on ties; a matrix without `axis` counts in row-major order."""
        return jnp.argmax(self.array, axis)

    def argmin(self, axis: int | None = None) -> Int[Array, "..."]:
        """Where the smallest element is, the first one on ties; a matrix without `axis` counts in row-major order."""
        return jnp.argmin(self.array, axis)

    def __jax_array__(self) -> Array:
        return self.array

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype=dtype) if copy else np.asarray(self.array, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        # `array * v` arrives here, and is ours. Every other NumPy function gives NumPy's arrays, as for JAX's arrays.
        if method == "__call__" and len(inputs) == 2 and not settings:
            result = apply_ufunc(ufunc, *inputs)
            if result is not NotImplemented:
                return result
        return getattr(ufunc, method)(*_as_numpy(inputs), **_as_numpy(settings))

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return function(*_as_numpy(args), **_as_numpy(kwargs))

    def __len__(self) -> int:
        return len(self.array)

    @abstractmethod
    def __iter__(self) -> "Iterator[AbstractTensor]": ...

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __int__(self) -> int:
        return int(self.array)

    def __round__(self: Self, ndigits: int | None = None) -> Self:
        return of_rank(jnp.round(self.array, ndigits or 0))

    def __repr__(self) -> str:
        return show(type(self).__name__, self.array)

    def __format__(self, spec: str) -> str:
        return format(self.array, spec) if spec else str(self)

    def __neg__(self: Self) -> Self:
        return of_rank(-self.array)

    def __pos__(self: Self) -> Self:
        return self

    def __abs__(self: Self) -> Self:
        return of_rank(absolute(self.array))

    # `object` promises a bool here.
    def __eq__(self, other: object) -> Any:
        return compare(jnp.equal, self, other)

    def __ne__(self, other: object) -> Any:
        return compare(jnp.not_equal, self, other)

    __getitem__ = indexed()
    __lt__ = comparison(jnp.less)
    __le__ = comparison(jnp.less_equal)
    __gt__ = comparison(jnp.greater)
    __ge__ = comparison(jnp.greater_equal)
    __add__, __radd__ = operators(jnp.add)
    __sub__, __rsub__ = operators(jnp.subtract)
    __mul__, __rmul__ = operators(jnp.multiply)
    __truediv__, __rtruediv__ = operators(jnp.true_divide)
    __floordiv__, __rfloordiv__ = operators(jnp.floor_divide)
    __mod__, __rmod__ = operators(jnp.remainder)
    __pow__, __rpow__ = operators(power)
    __matmul__, __rmatmul__ = products()


def _as_numpy(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf) if is_tensor(leaf) else leaf, tree, is_leaf=is_tensor)
