"""`D`, `DV` and `DM`: arrays whose rank is part of their type."""

from .base import AbstractTensor as AbstractTensor
from .tensors import DM as DM
from .tensors import DV as DV
from .tensors import D as D
from .tensors import wrap as wrap
from .to_array import to_array as to_array
