"""Warm-up: what adapts a kernel while the chains find the bulk of the density."""

from .warm_up import Warmup as Warmup
from .warm_up import warm_up as warm_up
