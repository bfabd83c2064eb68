from .base import AbstractTransform as AbstractTransform
from .bijection import Bijection as Bijection
from .bounds import Interval as Interval
from .bounds import Positive as Positive
from .correlation import CholeskyCorrelation as CholeskyCorrelation
from .ordered import Ordered as Ordered
from .simplex import Simplex as Simplex
