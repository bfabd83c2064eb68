"""What the other packages need of sparse derivatives: the entries of a matrix from products with it."""

from .._diff.sparse import recovered as recovered
from .._diff.sparsity import as_sparsity as as_sparsity
