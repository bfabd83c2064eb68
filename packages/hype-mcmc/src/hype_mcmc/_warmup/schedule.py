"""When warm-up does what."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int


class Schedule(NamedTuple):
    """What to do after each transition of warm-up."""

    collect: Bool[np.ndarray, " warmup"]  # the draws count for the mass
    close: Bool[np.ndarray, " warmup"]  # a window ends: the mass is replaced, and the step size starts anew
    # No mass has been estimated yet, and a chain may be where the density is far steeper than where the others are.
    cautious: Bool[np.ndarray, " warmup"]
    short: Bool[np.ndarray, " warmup"]  # the mass is none or a rough one, so long trajectories would be a waste
    seen: Int[np.ndarray, " warmup"]  # transitions of the window so far; 0 in the first one, which starts anywhere


def windows(num_warmup: int) -> Schedule:
    """Stan's schedule, with a longer end: a start, windows of doubling length for the mass, and the step size alone.

    The mass is estimated anew in each window, so that it forgets how the chains came from where they started. Of
    1000 transitions 75 are the start, 100 the end, and the windows are 25, 50, 100, 200 and 450 long. In the Stan
    Reference Manual ("HMC algorithm parameters") the end has 50, within which the chains may miss a part of the
    density that needs smaller steps, and then freeze there. Of fewer than 500 transitions the end is a fifth; fewer
    than 20 adapt the step size only.
    """
    collect, close, cautious, short = np.zeros((4, num_warmup), bool)
    seen = np.zeros(num_warmup, np.int32)
    if num_warmup < 20:
        return Schedule(collect, close, cautious, short, seen)
    first, stop, window = 75, stop_of(num_warmup), 25
    if first + window > stop:
        first = int(0.15 * num_warmup)
        window = stop - first
    collect[first:stop] = True
    begin = first
    while begin < stop:
        end = begin + window
        # A window that would leave too little for the next one takes all that is left.
        end = stop if end + 2 * window > stop else end
        close[end - 1] = True
        if begin > first:
            seen[begin:end] = 1 + np.arange(end - begin)
        begin, window = end, 2 * window
    ends = np.flatnonzero(close) + 1
    cautious[: ends[0]] = True
    short[: ends[1 if len(ends) > 2 else 0]] = True
    return Schedule(collect, close, cautious, short, seen)


def stop_of(num_warmup: int) -> int:
    """After how many transitions the end begins, in which the step size alone is adapted."""
    return num_warmup - min(100, num_warmup // 5) if num_warmup >= 20 else 0
