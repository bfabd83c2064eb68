"""What a scalar, a vector and a matrix have in common: one array of floats, NumPy's operators, JAX's protocols.

A tensor is a label on an array. Its rank is checked when a user makes one from numbers, never when JAX rebuilds one
from leaves: there a leaf may be a tracer of another rank (`vmap`), a shape, a sharding, a boolean or nothing at all.
Operations look at the rank that the array has, so a `DM` that `vmap` took apart into rows computes as vectors do.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .broadcast import aligned
from .indexing import check_index
from .show import show
from .to_array import HasJaxArray, Number, TensorLike, to_array


class AbstractTensor(eqx.Module):
    """An immutable array of floats whose rank is part of its type: `D`, `DV` or `DM`.

    What a JAX array has as a method or an attribute, a tensor has too, with the same meaning. Operators mean what they
    mean in NumPy, accept numbers and arrays on either side, and give the type of the result's rank; comparisons give
    plain boolean arrays, so, as for arrays, `==` is elementwise and tensors are not hashable.
    """

    rank: eqx.AbstractClassVar[int]

    array: Float[Array, "..."]

    def __init_subclass__(cls, **settings: Any):
        super().__init_subclass__(**settings)
        _TYPE_OF_RANK[cls.rank] = cls

    def __init__(self, value: TensorLike):
        array = to_array(value)
        if array.ndim != self.rank:
            kinds = ("a number (rank 0)", "a vector (rank 1)", "a matrix (rank 2)")
            raise ValueError(
                f"{type(self).__name__} takes {kinds[self.rank]}, got rank {array.ndim} with shape {array.shape}"
            )
        self.array = array

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

    def __jax_array__(self) -> Array:
        return self.array

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype=dtype) if copy else np.asarray(self.array, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **settings: object) -> object:
        # `array * v` arrives here, and is ours. Every other NumPy function gives NumPy's arrays, as for JAX's arrays.
        if method == "__call__" and not settings and ufunc in _OPERATIONS:
            return _OPERATIONS[ufunc](*inputs)
        return getattr(ufunc, method)(*_to_numpy(inputs), **_to_numpy(settings))

    def __array_function__(self, function: Callable, types: object, args: tuple, kwargs: dict) -> object:
        return function(*_to_numpy(args), **_to_numpy(kwargs))

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> "Iterator[AbstractTensor]":
        if self.ndim == 0:
            raise TypeError(f"a {type(self).__name__} is one number: there is nothing to iterate over")
        return map(wrap, self.array)

    def __getitem__(self, index: object) -> "AbstractTensor":
        check_index(index, self.shape)
        return wrap(self.array[index])

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __int__(self) -> int:
        return int(self.array)

    def __neg__(self) -> "AbstractTensor":
        return wrap(-self.array)

    def __pos__(self) -> "AbstractTensor":
        return self

    def __abs__(self) -> "AbstractTensor":
        return wrap(abs(self.array))

    def __add__(self, other: object) -> "AbstractTensor":
        return _binary(jnp.add, self, other)

    def __radd__(self, other: object) -> "AbstractTensor":
        return _binary(jnp.add, other, self)

    def __sub__(self, other: object) -> "AbstractTensor":
        return _binary(jnp.subtract, self, other)

    def __rsub__(self, other: object) -> "AbstractTensor":
        return _binary(jnp.subtract, other, self)

    def __mul__(self, other: object) -> "AbstractTensor":
        return _binary(jnp.multiply, self, other)

    def __rmul__(self, other: object) -> "AbstractTensor":
        return _binary(jnp.multiply, other, self)

    def __truediv__(self, other: object) -> "AbstractTensor":
        return _binary(jnp.true_divide, self, other)

    def __rtruediv__(self, other: object) -> "AbstractTensor":
        return _binary(jnp.true_divide, other, self)

    def __pow__(self, other: object) -> "AbstractTensor":
        return _binary(jnp.power, self, other)

    def __rpow__(self, other: object) -> "AbstractTensor":
        return _binary(jnp.power, other, self)

    def __matmul__(self, other: object) -> "AbstractTensor":
        return _matmul(self, other)

    def __rmatmul__(self, other: object) -> "AbstractTensor":
        return _matmul(other, self)

    # `object` promises a bool here; arrays and tensors compare elementwise.
    def __eq__(self, other: object) -> Any:
        return _compare(jnp.equal, self, other)

    def __ne__(self, other: object) -> Any:
        return _compare(jnp.not_equal, self, other)

    def __lt__(self, other: object) -> "Bool[Array, '...']":
        return _compare(jnp.less, self, other)

    def __le__(self, other: object) -> "Bool[Array, '...']":
        return _compare(jnp.less_equal, self, other)

    def __gt__(self, other: object) -> "Bool[Array, '...']":
        return _compare(jnp.greater, self, other)

    def __ge__(self, other: object) -> "Bool[Array, '...']":
        return _compare(jnp.greater_equal, self, other)

    __hash__ = None

    def __repr__(self) -> str:
        return show(type(self).__name__, self.array)

    def __format__(self, spec: str) -> str:
        return format(self.array, spec) if spec else str(self)


_TYPE_OF_RANK: dict[int, type[AbstractTensor]] = {}


def wrap(x: TensorLike) -> AbstractTensor:
    """Gives `x` the type of its rank.

    Args:
        x: anything that `to_array` accepts, of rank 0, 1 or 2.

    Returns:
        A `D`, `DV` or `DM` that holds the same floats.

    Raises:
        TypeError: if `x` does not consist of real numbers.
        ValueError: if the rank of `x` is above 2.
    """
    array = to_array(x)
    if array.ndim not in _TYPE_OF_RANK:
        raise ValueError(f"x must have rank 0, 1 or 2 to be a D, DV or DM, got rank {array.ndim}, shape {array.shape}")
    kind = _TYPE_OF_RANK[array.ndim]
    # What `kind(array)` does, without the time that a dataclass takes: every operation passes here.
    tensor = object.__new__(kind)
    object.__setattr__(tensor, "array", array)
    return tensor


def _operand(x: object) -> Any:
    """The array or number in an operand; a Python number is left alone, which keeps it weakly typed."""
    if isinstance(x, AbstractTensor):
        return x.array
    if isinstance(x, Number | jax.Array | np.ndarray):
        return x
    if isinstance(x, HasJaxArray):
        return x.__jax_array__()
    return None


def _binary(operation: Callable[..., Array], left: object, right: object) -> Any:
    a, b = _operand(left), _operand(right)
    if a is None or b is None:
        return NotImplemented
    return wrap(operation(*aligned(a, b)))


def _compare(operation: Callable[..., Array], left: object, right: object) -> Any:
    a, b = _operand(left), _operand(right)
    if a is None or b is None:
        return NotImplemented
    return operation(*aligned(a, b))


def _matmul(left: object, right: object) -> Any:
    a, b = _operand(left), _operand(right)
    if a is None or b is None:
        return NotImplemented
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        raise ValueError(
            f"@ takes vectors and matrices, got shapes {np.shape(a)} and {np.shape(b)}: use * for a number"
        )
    if np.shape(a)[-1] != np.shape(b)[-min(2, np.ndim(b))]:
        raise ValueError(f"@ takes equal inner lengths, got shapes {np.shape(a)} and {np.shape(b)}")
    return wrap(jnp.matmul(a, b))


_OPERATIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: partial(_binary, jnp.add),
    np.subtract: partial(_binary, jnp.subtract),
    np.multiply: partial(_binary, jnp.multiply),
    np.true_divide: partial(_binary, jnp.true_divide),
    np.power: partial(_binary, jnp.power),
    np.matmul: _matmul,
    np.equal: partial(_compare, jnp.equal),
    np.not_equal: partial(_compare, jnp.not_equal),
    np.less: partial(_compare, jnp.less),
    np.less_equal: partial(_compare, jnp.less_equal),
    np.greater: partial(_compare, jnp.greater),
    np.greater_equal: partial(_compare, jnp.greater_equal),
}


def _to_numpy(tree: Any) -> Any:
    return jax.tree.map(
        lambda leaf: np.asarray(leaf) if isinstance(leaf, AbstractTensor) else leaf,
        tree,
        is_leaf=lambda leaf: isinstance(leaf, AbstractTensor),
    )
