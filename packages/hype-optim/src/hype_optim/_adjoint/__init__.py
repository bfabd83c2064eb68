from .base import AbstractAdjoint as AbstractAdjoint
from .base import Stationarity as Stationarity
from .checkpointed import Checkpointed as Checkpointed
from .implicit import Implicit as Implicit
from .neumann import Neumann as Neumann
from .refuse import NoDerivativeError as NoDerivativeError
from .truncated import Truncated as Truncated
from .unrolled import Unrolled as Unrolled
