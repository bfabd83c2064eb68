"""Floats that a configuration holds and that something can be differentiated by."""

from .constraint import AbstractRange as AbstractRange
from .constraint import is_range as is_range
from .constraint import positive as positive
from .constraint import resolve as resolve
from .constraint import unit_interval as unit_interval
from .constraint import value_of as value_of
from .converters import Hyperparameter as Hyperparameter
from .converters import HyperparameterLike as HyperparameterLike
from .converters import at_least as at_least
from .converters import check_prefix as check_prefix
from .converters import fraction as fraction
from .converters import hyperparameter as hyperparameter
from .converters import non_negative as non_negative
from .converters import open_fraction as open_fraction
from .converters import positive_number as positive_number
