"""Adjoints: how derivatives pass back through a loop."""

from .auto import Auto as Auto
from .base import AbstractAdjoint as AbstractAdjoint
from .base import Load as Load
from .base import Run as Run
from .base import Scan as Scan
from .base import Solution as Solution
from .base import Stationarity as Stationarity
from .base import Step as Step
from .checkpointed import Checkpointed as Checkpointed
from .implicit import Implicit as Implicit
from .neumann import Neumann as Neumann
from .truncated import Truncated as Truncated
from .unrolled import Unrolled as Unrolled

EXACT = (Unrolled(), Checkpointed(2), Checkpointed(3), Checkpointed(4))
"""What a forecast compares: the adjoints that give the same derivative at different costs."""
