"""`D`, `DV` and `DM`: arrays whose rank is part of their type."""

from .base import AbstractTensor as AbstractTensor
from .convert import to_array as to_array
from .convert import wrap as wrap
from .matrix import DM as DM
from .scalar import D as D
from .vector import DV as DV
