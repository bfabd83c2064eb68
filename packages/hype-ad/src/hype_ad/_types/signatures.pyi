"""Static types of operators and methods: the rank of a result follows from the ranks of the operands.

Each rule is a function's signature; each descriptor says which rule a `D`, a `DV` and a `DM` follow.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar, overload

import jax
import numpy as np
from jax.typing import ArrayLike

from .base import AbstractTensor
from .tensors import DM, DV, D
from .to_array import Number

Tensor = TypeVar("Tensor", bound=AbstractTensor)
Index: TypeAlias = int | np.integer | jax.Array
Part: TypeAlias = slice | list[int] | np.ndarray
_AnyRule: TypeAlias = Callable[[AbstractTensor | ArrayLike], AbstractTensor]

class _ScalarRule(Protocol):
    @overload
    def __call__(self, other: Number | D, /) -> D: ...
    @overload
    def __call__(self, other: Tensor, /) -> Tensor: ...
    @overload
    def __call__(self, other: AbstractTensor | ArrayLike, /) -> AbstractTensor: ...

class _VectorRule(Protocol):
    @overload
    def __call__(self, other: Number | D | DV, /) -> DV: ...
    @overload
    def __call__(self, other: DM, /) -> DM: ...
    @overload
    def __call__(self, other: AbstractTensor | ArrayLike, /) -> AbstractTensor: ...

class _MatrixRule(Protocol):
    def __call__(self, other: AbstractTensor | ArrayLike, /) -> DM: ...

class Operator(Protocol):
    """An elementwise operator with NumPy's broadcasting."""

    @overload
    def __get__(self, instance: D, owner: type, /) -> _ScalarRule: ...
    @overload
    def __get__(self, instance: DV, owner: type, /) -> _VectorRule: ...
    @overload
    def __get__(self, instance: DM, owner: type, /) -> _MatrixRule: ...
    @overload
    def __get__(self, instance: AbstractTensor, owner: type, /) -> _AnyRule: ...

class _VectorProduct(Protocol):
    @overload
    def __call__(self, other: DV, /) -> D: ...
    @overload
    def __call__(self, other: DM, /) -> DV: ...
    @overload
    def __call__(self, other: AbstractTensor | ArrayLike, /) -> AbstractTensor: ...

class _MatrixProduct(Protocol):
    @overload
    def __call__(self, other: Tensor, /) -> Tensor: ...
    @overload
    def __call__(self, other: AbstractTensor | ArrayLike, /) -> AbstractTensor: ...

class Product(Protocol):
    """The operator `@`."""

    @overload
    def __get__(self, instance: DV, owner: type, /) -> _VectorProduct: ...
    @overload
    def __get__(self, instance: DM, owner: type, /) -> _MatrixProduct: ...
    @overload
    def __get__(self, instance: AbstractTensor, owner: type, /) -> _AnyRule: ...

class _WholeReduction(Protocol):
    def __call__(self, axis: int | None = None) -> D: ...

class _AxisReduction(Protocol):
    @overload
    def __call__(self, axis: None = None) -> D: ...
    @overload
    def __call__(self, axis: int) -> DV: ...

class Reduction(Protocol):
    """A method that takes away one axis or all of them."""

    @overload
    def __get__(self, instance: D | DV, owner: type, /) -> _WholeReduction: ...
    @overload
    def __get__(self, instance: DM, owner: type, /) -> _AxisReduction: ...
    @overload
    def __get__(self, instance: AbstractTensor, owner: type, /) -> Callable[..., AbstractTensor]: ...

class _VectorItem(Protocol):
    @overload
    def __call__(self, index: Index, /) -> D: ...
    @overload
    def __call__(self, index: Part, /) -> DV: ...
    @overload
    def __call__(self, index: Any, /) -> AbstractTensor: ...

class _MatrixItem(Protocol):
    @overload
    def __call__(self, index: tuple[Index, Index], /) -> D: ...
    @overload
    def __call__(self, index: Index | tuple[Index, Part] | tuple[Part, Index], /) -> DV: ...
    @overload
    def __call__(self, index: Part | tuple[Part, Part], /) -> DM: ...
    @overload
    def __call__(self, index: Any, /) -> AbstractTensor: ...

class Item(Protocol):
    """The elements, rows and blocks that an index takes."""

    @overload
    def __get__(self, instance: DV, owner: type, /) -> _VectorItem: ...
    @overload
    def __get__(self, instance: DM, owner: type, /) -> _MatrixItem: ...
    @overload
    def __get__(self, instance: AbstractTensor, owner: type, /) -> Callable[[Any], AbstractTensor]: ...
