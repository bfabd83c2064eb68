from .warm_up import warm_up as warm_up
