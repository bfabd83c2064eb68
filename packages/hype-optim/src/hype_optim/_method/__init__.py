from .base import AbstractMethod as AbstractMethod
from .gd import GD as GD
from .newton import Newton as Newton
