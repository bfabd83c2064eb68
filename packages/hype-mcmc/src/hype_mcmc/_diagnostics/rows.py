"""One diagnostic of many quantities at once."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Draws = Float[np.ndarray, "*rows chains draws"]
Values = Float[np.ndarray, "*rows"]

_BLOCK = 1 << 17  # numbers, so that what is computed on the way stays in the cache


def of_each_row(diagnostic: Callable[[Draws], Values]) -> Callable[[Draws], Values]:
    """Lets a diagnostic take as many rows as there are, in blocks; one of a row with NaN in it is NaN."""

    @functools.wraps(diagnostic)
    def of_all(draws: Draws) -> Values:
        rows = draws.reshape(-1, *draws.shape[-2:])
        values = np.full(len(rows), np.nan)
        length = max(1, _BLOCK // max(1, rows[0].size if len(rows) else 1))
        for start in range(0, len(rows), length):
            block = slice(start, start + length)
            with np.errstate(all="ignore"):
                values[block] = diagnostic(rows[block])
        values[np.isnan(rows).any(axis=(1, 2))] = np.nan
        return values.reshape(draws.shape[:-2])

    return of_all
