"""The adjoints that give the same derivative at different costs: what a forecast compares."""

from .checkpointed import Checkpointed
from .unrolled import Unrolled

EXACT = (Unrolled(), Checkpointed(2), Checkpointed(3), Checkpointed(4))
