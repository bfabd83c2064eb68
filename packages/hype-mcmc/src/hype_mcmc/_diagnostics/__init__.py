from .energy import ebfmi as ebfmi
from .ess import bulk_ess as bulk_ess
from .ess import mean_ess as mean_ess
from .ess import tail_ess as tail_ess
from .ess import tails as tails
from .modes import separate_groups as separate_groups
from .rhat import bulk as bulk
from .rhat import rank_rhat as rank_rhat
