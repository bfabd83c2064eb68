"""Boolean sparse matrices, of SciPy's, which is loaded only when the first of them is made: it takes as long as JAX."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import scipy
from jaxtyping import Int

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    Pattern: TypeAlias = csr_array
else:
    Pattern = Any
"""A boolean matrix, with a row for each entry of a variable."""

Numbers: TypeAlias = Int[np.ndarray, " entries"]


def of_entries(rows: Numbers, columns: Numbers, shape: tuple[int, ...]) -> Pattern:
    """The matrix with these entries."""
    return scipy.sparse.csr_array((np.ones(len(rows), bool), (rows, columns)), shape=shape)


def of_matrix(matrix: Any) -> Pattern:
    """A matrix of NumPy or SciPy in this form."""
    return scipy.sparse.csr_array(matrix)


def without_entries(rows: int, columns: int) -> Pattern:
    """A matrix of that shape."""
    return scipy.sparse.csr_array((rows, columns), dtype=bool)


def stacked(patterns: Sequence[Pattern], columns: int) -> Pattern:
    """The rows of several matrices, one after the other."""
    if not patterns:
        return without_entries(0, columns)
    return of_matrix(scipy.sparse.vstack(patterns, format="csr", dtype=bool))


def kronecker(left: Pattern, right: Pattern) -> Pattern:
    """The Kronecker product."""
    return scipy.sparse.csr_array(scipy.sparse.kron(left, right, format="csr"), dtype=bool)
