from .base import AbstractLearningRate as AbstractLearningRate
from .constant import Constant as Constant
from .rms_prop import RMSProp as RMSProp
from .schedule import Schedule as Schedule
from .schedule import StepSchedule as StepSchedule
