"""Learning rates: how far a step goes along the direction that a method found."""

from .adam import Adam as Adam
from .backtrack import Backtrack as Backtrack
from .base import AbstractLearningRate as AbstractLearningRate
from .base import Unscaled as Unscaled
from .decay import Constant as Constant
from .decay import Decay as Decay
from .decay import ExpDecay as ExpDecay
from .hypergradient_descent import HypergradientDescent as HypergradientDescent
from .root_mean_square import AdaGrad as AdaGrad
from .root_mean_square import RMSProp as RMSProp
from .schedule import AbstractFiniteSchedule as AbstractFiniteSchedule
from .schedule import AbstractSchedule as AbstractSchedule
from .sequence import InterpolatedSchedule as InterpolatedSchedule
from .sequence import Schedule as Schedule
from .sequence import StepSchedule as StepSchedule
from .sequence import WindowSchedule as WindowSchedule
from .strong_wolfe import StrongWolfe as StrongWolfe
