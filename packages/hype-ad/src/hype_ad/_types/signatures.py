"""What type checkers are told of operators and methods: the rank of a result follows from the ranks of the operands.

Nothing here runs. Each rule is a function's signature; each descriptor says which rule a `D`, a `DV` and a `DM` follow.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, overload, runtime_checkable

import jax
import numpy as np
from jax.typing import ArrayLike

from .to_array import Number

if TYPE_CHECKING:
    from .base import AbstractTensor
    from .matrix import DM
    from .scalar import D
    from .vector import DV

Tensor = TypeVar("Tensor", bound="AbstractTensor")
Index: TypeAlias = int | np.integer | jax.Array
Part: TypeAlias = slice | list[int] | np.ndarray


@runtime_checkable
class _ScalarRule(Protocol):
    @overload
    def __call__(self, other: "Number | D", /) -> "D": ...
    @overload
    def __call__(self, other: Tensor, /) -> Tensor: ...
    @overload
    def __call__(self, other: "AbstractTensor | ArrayLike", /) -> "AbstractTensor": ...


@runtime_checkable
class _VectorRule(Protocol):
    @overload
    def __call__(self, other: "Number | D | DV", /) -> "DV": ...
    @overload
    def __call__(self, other: "DM", /) -> "DM": ...
    @overload
    def __call__(self, other: "AbstractTensor | ArrayLike", /) -> "AbstractTensor": ...


@runtime_checkable
class _MatrixRule(Protocol):
    def __call__(self, other: "AbstractTensor | ArrayLike", /) -> "DM": ...


@runtime_checkable
class Operator(Protocol):
    """An elementwise operator with NumPy's broadcasting."""

    @overload
    def __get__(self, instance: "D", owner: type, /) -> _ScalarRule: ...
    @overload
    def __get__(self, instance: "DV", owner: type, /) -> _VectorRule: ...
    @overload
    def __get__(self, instance: "DM", owner: type, /) -> _MatrixRule: ...
    @overload
    def __get__(
        self, instance: "AbstractTensor", owner: type, /
    ) -> "Callable[[AbstractTensor | ArrayLike], AbstractTensor]": ...
    def __get__(self, instance: Any, owner: type, /) -> Any: ...


@runtime_checkable
class _VectorProduct(Protocol):
    @overload
    def __call__(self, other: "DV", /) -> "D": ...
    @overload
    def __call__(self, other: "DM", /) -> "DV": ...
    @overload
    def __call__(self, other: "AbstractTensor | ArrayLike", /) -> "AbstractTensor": ...


@runtime_checkable
class _MatrixProduct(Protocol):
    @overload
    def __call__(self, other: Tensor, /) -> Tensor: ...
    @overload
    def __call__(self, other: "AbstractTensor | ArrayLike", /) -> "AbstractTensor": ...


@runtime_checkable
class Product(Protocol):
    """The operator `@`."""

    @overload
    def __get__(self, instance: "DV", owner: type, /) -> _VectorProduct: ...
    @overload
    def __get__(self, instance: "DM", owner: type, /) -> _MatrixProduct: ...
    @overload
    def __get__(
        self, instance: "AbstractTensor", owner: type, /
    ) -> "Callable[[AbstractTensor | ArrayLike], AbstractTensor]": ...
    def __get__(self, instance: Any, owner: type, /) -> Any: ...


@runtime_checkable
class _WholeReduction(Protocol):
    def __call__(self, axis: int | None = None) -> "D": ...


@runtime_checkable
class _AxisReduction(Protocol):
    @overload
    def __call__(self, axis: None = None) -> "D": ...
    @overload
    def __call__(self, axis: int) -> "DV": ...


@runtime_checkable
class Reduction(Protocol):
    """A method that takes away one axis or all of them."""

    @overload
    def __get__(self, instance: "D | DV", owner: type, /) -> _WholeReduction: ...
    @overload
    def __get__(self, instance: "DM", owner: type, /) -> _AxisReduction: ...
    @overload
    def __get__(self, instance: "AbstractTensor", owner: type, /) -> "Callable[..., AbstractTensor]": ...
    def __get__(self, instance: Any, owner: type, /) -> Any: ...


@runtime_checkable
class _VectorItem(Protocol):
    @overload
    def __call__(self, index: Index, /) -> "D": ...
    @overload
    def __call__(self, index: Part, /) -> "DV": ...
    @overload
    def __call__(self, index: Any, /) -> "AbstractTensor": ...


@runtime_checkable
class _MatrixItem(Protocol):
    @overload
    def __call__(self, index: tuple[Index, Index], /) -> "D": ...
    @overload
    def __call__(self, index: Index | tuple[Index, Part] | tuple[Part, Index], /) -> "DV": ...
    @overload
    def __call__(self, index: Part | tuple[Part, Part], /) -> "DM": ...
    @overload
    def __call__(self, index: Any, /) -> "AbstractTensor": ...


@runtime_checkable
class Item(Protocol):
    """The elements, rows and blocks that an index takes."""

    @overload
    def __get__(self, instance: "DV", owner: type, /) -> _VectorItem: ...
    @overload
    def __get__(self, instance: "DM", owner: type, /) -> _MatrixItem: ...
    @overload
    def __get__(self, instance: "AbstractTensor", owner: type, /) -> "Callable[[Any], AbstractTensor]": ...
    def __get__(self, instance: Any, owner: type, /) -> Any: ...
