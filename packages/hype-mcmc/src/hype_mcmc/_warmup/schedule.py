"""When warm-up does what."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool


class Schedule(NamedTuple):
    """What to do after each transition of warm-up."""

    collect: Bool[np.ndarray, " warmup"]  # the draws count for the mass
    close: Bool[np.ndarray, " warmup"]  # a window ends: the mass is replaced, and the step size starts anew
    # No mass has been estimated yet, so long trajectories would be a waste, and a chain may be where the density is far
    # steeper than where the others are.
    cautious: Bool[np.ndarray, " warmup"]
    lengthen: Bool[np.ndarray, " warmup"]  # the trajectory length is adapted, as it is until the last window ends


def windows(num_warmup: int) -> Schedule:
    """Stan's schedule, with a longer end: a start, windows of doubling length for the mass, and the step size alone.

    The mass is estimated anew in each window, so that it forgets how the chains came from where they started. Of
    1000 transitions 75 are the start, 100 the end, and the windows are 25, 50, 100, 200 and 450 long. In the Stan
    Reference Manual ("HMC algorithm parameters") the end has 50, within which the chains may miss a part of the
    density that needs smaller steps, and then freeze there. Of fewer than 500 transitions the end is a fifth; fewer
    than 20 adapt the step size only.
    """
    collect, close, cautious, lengthen = np.zeros((4, num_warmup), bool)
    if num_warmup < 20:
        return Schedule(collect, close, cautious, lengthen)
    first, last, window = 75, min(100, num_warmup // 5), 25
    if first + window + last > num_warmup:
        first = int(0.15 * num_warmup)
        window = num_warmup - first - last
    stop = num_warmup - last
    collect[first:stop] = True
    begin = first
    while begin < stop:
        end = begin + window
        # A window that would leave too little for the next one takes all that is left.
        end = stop if end + 2 * window > stop else end
        close[end - 1] = True
        begin, window = end, 2 * window
    cautious[: np.argmax(close) + 1] = True
    lengthen[:stop] = True
    return Schedule(collect, close, cautious, lengthen)
