from .base import AbstractAdjoint as AbstractAdjoint
from .checkpointed import Checkpointed as Checkpointed
from .unrolled import Unrolled as Unrolled
