"""Between arrays and tensors."""

from .base import wrap as wrap
from .to_array import to_array as to_array
