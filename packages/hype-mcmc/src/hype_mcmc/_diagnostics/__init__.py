from .energy import ebfmi as ebfmi
from .ess import bulk_ess as bulk_ess
from .ess import mean_ess as mean_ess
from .ess import tail_ess as tail_ess
from .modes import separate_groups as separate_groups
from .rhat import rank_rhat as rank_rhat
