"""A derivative of any order by central differences, extrapolated, with an estimate of its own error.

One step length never fits: a long one feels the curvature, a short one the rounding. So the step is shortened again
and again, and each row of differences is extrapolated to step zero (Richardson; the error of a central difference has
only even powers of the step). Of each row the entry that agrees best with its neighbors is taken, and of all rows the
one that agrees best with the row before it (after Ridders 1982, "Accurate computation of F'(x) and F'(x)F''(x)", with
the second condition because noise sometimes agrees with noise).
"""

from collections.abc import Callable
from math import comb

import numpy as np
from jaxtyping import Float

# Where the first derivative starts; higher ones, whose rounding error grows as 1 / step**order, start further out.
_LONGEST = 2.0**-4
_RATIO = 1.8  # of a step to the next; not 2, with which an oscillation can look the same in each row
_ROWS = 26  # the shortest step is about 1e-8, where nothing but rounding is left in float64
_COLUMNS = 6  # the error falls as step**12 in the last column; rounding makes more of them useless

_Vector = Float[np.ndarray, "..."]


def central_difference(
    along: Callable[[float], _Vector],
    *,
    order: int = 1,
    rtol: int | float,
    atol: int | float,
    epsilon: float = 2.0**-52,
) -> tuple[_Vector, float]:
    r"""Derivative of an order at 0 of $t \mapsto f(x + t v)$, of any shape, and an estimate of its largest error.

    It stops as soon as that error is below `rtol * max|derivative| + atol`; where no two differences were finite it is
    infinite. `epsilon` is the relative rounding error of `along`.
    """
    longest = min(1.0, _LONGEST * 2**order) / order
    weights = [(order / 2 - k, (-1) ** k * comb(order, k)) for k in range(order + 1)]
    best = value = np.full(np.shape(along(0.0)), np.nan)
    least = error = np.inf
    row: list[_Vector] = []
    for index in range(_ROWS):
        step = longest / _RATIO**index
        values = [np.asarray(along(place * step)) for place, _ in weights]
        if not all(np.all(np.isfinite(value)) for value in values):
            row, error = [], np.inf  # outside of the domain of f: nothing may be extrapolated from there
            continue
        terms = [weight * value / step**order for value, (_, weight) in zip(values, weights, strict=True)]
        above, row = row, _extrapolate(np.asarray(sum(terms)), row)
        value_before, error_before = value, error
        value, error = _best_of(row, above)
        rounding = epsilon * sum(_largest(term) for term in terms)
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
