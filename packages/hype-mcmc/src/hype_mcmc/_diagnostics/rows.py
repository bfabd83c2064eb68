"""One diagnostic of many quantities at once."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

Draws = Float[np.ndarray, "*rows chains draws"]
Values = Float[np.ndarray, "*rows"]
Several = Float[np.ndarray, "values *rows"]

_BLOCK = 1 << 17  # numbers, so that what is computed on the way stays in the cache


def of_each_row(diagnostic: Callable[[Draws], Any]) -> Callable[[Draws], Any]:
    """Lets a diagnostic take as many rows as there are, in blocks; one of a row with NaN in it is NaN.

    It gives an array whose last axes are those of the rows: one value of each, or several.
    """

    @functools.wraps(diagnostic)
    def of_all(draws: Draws) -> Values | Several:
        rows = draws.reshape(-1, *draws.shape[-2:])
        length = max(1, _BLOCK // max(1, rows.shape[1] * rows.shape[2]))
        some = rows if len(rows) else np.ones((1, *rows.shape[1:]))  # not all of NumPy's functions take none
        with np.errstate(all="ignore"):
            blocks = [diagnostic(some[start : start + length]) for start in range(0, len(some), length)]
        values = np.concatenate(blocks, axis=-1)[..., : len(rows)]
        values[..., np.isnan(rows).any(axis=(1, 2))] = np.nan
        return values.reshape((*values.shape[:-1], *draws.shape[:-2]))

    return of_all
