"""A derivative by central differences, extrapolated, with an estimate of its own error.

One step length never fits: a long one feels the curvature, a short one the rounding. So the step is shortened again
and again, and each row of differences is extrapolated to step zero (Richardson; the error of a central difference has
only even powers of the step). Of each row the entry that agrees best with its neighbors is taken, and of all rows the
one that agrees best with the row before it (after Ridders 1982, "Accurate computation of F'(x) and F'(x)F''(x)", with
the second condition because noise sometimes agrees with noise).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

_LONGEST = 2.0**-4
_RATIO = 1.8  # of a step to the next; not 2, with which an oscillation can look the same in each row
_ROWS = 26  # the shortest step is about 1e-8, where nothing but rounding is left in float64
_COLUMNS = 6  # the error falls as step**12 in the last column; rounding makes more of them useless

_Vector = Float[np.ndarray, "..."]


def central_difference(
    along: Callable[[float], _Vector], *, rtol: float, atol: float, scale: float = 1.0
) -> tuple[_Vector, float]:
    r"""Derivative at 0 of a function of one real number.

    Args:
        along: $t \mapsto f(x + t v)$, of any shape, computed in float64.
        rtol: stop as soon as the estimated error is below `rtol * max|derivative| + atol`.
        atol: see `rtol`.
        scale: length in which the function changes by about its own size; the first step is a sixteenth of it.

    Returns:
        The derivative, and the estimate of the largest error of any of its elements (infinite where no two differences
        were finite).
    """
    best = value = np.full(np.shape(along(0.0)), np.nan)
    least = error = np.inf
    row: list[_Vector] = []
    for index in range(_ROWS):
        step = scale * _LONGEST / _RATIO**index
        ahead, behind = along(step), along(-step)
        if not (np.all(np.isfinite(ahead)) and np.all(np.isfinite(behind))):
            row, error = [], np.inf  # outside of the domain of f: nothing may be extrapolated from there
            continue
        above, row = row, _extrapolate(np.asarray((ahead - behind) / (2.0 * step)), row)
        value_before, error_before = value, error
        value, error = _best_of(row, above)
        rounding = np.finfo(np.float64).eps * _largest(np.abs(ahead) + np.abs(behind)) / step
        estimate = rounding + max(error, error_before)
        if np.isfinite(estimate) and (estimate := max(estimate, _largest(value - value_before))) < least:
            best, least = value, estimate
            if least <= rtol * _largest(best) + atol:
                break
    return best, least


def _extrapolate(difference: _Vector, above: list[_Vector]) -> list[_Vector]:
    row = [difference]
    for column, entry in enumerate(above[: _COLUMNS - 1], start=1):
        row.append(np.asarray(row[-1] + (row[-1] - entry) / (_RATIO ** (2 * column) - 1.0)))
    return row


def _best_of(row: list[_Vector], above: list[_Vector]) -> tuple[_Vector, float]:
    """The entry that differs least from both entries that it was made of, and by how much."""
    errors = [
        max(_largest(row[column] - row[column - 1]), _largest(row[column] - above[column - 1]))
        for column in range(1, len(row))
    ]
    if not errors:
        return row[0], np.inf
    column = int(np.argmin(errors))
    return row[column + 1], errors[column]


def _largest(x: _Vector | np.float64) -> float:
    return float(np.max(np.abs(x), initial=0.0))
