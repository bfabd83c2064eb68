"""Nested automatic differentiation over JAX: scalars, vectors, matrices, and loops that differentiate to any order."""

from ._checkpointed_scan import checkpointed_scan as checkpointed_scan
from ._types import DM as DM
from ._types import DV as DV
from ._types import AbstractTensor as AbstractTensor
from ._types import D as D
from ._types import to_array as to_array
from ._types import wrap as wrap
