"""A derivative along one direction: what each mode says, what central differences say, and who is right."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from ._central_difference import central_difference

Verdict = Literal["ok", "not finite", "modes differ", "undecided", "wrong"]
"""What a `Comparison` says of a derivative."""


@dataclass(frozen=True)
class Comparison:
    """The derivative along one direction, found in several ways.

    Attributes:
        values: in each mode, such as `{"forward": 2.0, "reverse": 2.0}`; the first is what the other modes are held to.
        difference: by extrapolated central differences.
        error: their estimate of their own error; infinite where no two of them were finite.
    """

    values: Mapping[str, float]
    difference: float
    error: float

    def judge(
        self, *, rtol: int | float, atol: int | float, mode_rtol: int | float, mode_atol: int | float
    ) -> tuple[Verdict, str]:
        """The verdict, and the mode that it is about (the first one where it is about all of them).

        A value that is not finite is found first, then modes that differ; then differences have to settle
        ("undecided" if they do not: they prove nothing), and only then can they say that a value is "wrong".

        Args:
            rtol: accepted difference between a value and the central differences, and their accepted error, relative
                to them.
            atol: the same where the derivative vanishes; it is added.
            mode_rtol: accepted difference between the modes, relative to the first of them.
            mode_atol: the same where the derivative vanishes; it is added.
        """
        first, *others = self.values
        for mode, value in self.values.items():
            if not np.isfinite(value):
                return "not finite", mode
        for mode in others:
            if abs(self.values[mode] - self.values[first]) > mode_rtol * abs(self.values[first]) + mode_atol:
                return "modes differ", mode
        accepted = rtol * abs(self.difference) + atol
        if not self.error <= accepted:
            return "undecided", first
        for mode, value in self.values.items():
            if abs(value - self.difference) > accepted:
                return "wrong", mode
        return "ok", first


def compare_along(
    along: Callable[[float], Float[np.ndarray, ""]],
    values: Mapping[str, float],
    *,
    rtol: int | float,
    atol: int | float,
    length: float = 1.0,
    epsilon: float = 2.0**-52,
) -> Comparison:
    r"""Compare derivatives along a direction $v$ with central differences.

    Args:
        along: $t \mapsto f(x + t \ell v)$.
        values: the derivative of $f$ along $v$ in each mode.
        rtol: how far apart values and differences may be, relative to them; the differences are refined until their
            error is a twentieth of what is accepted, or as far as rounding lets them.
        atol: the same where the derivative vanishes; it is added.
        length: $\ell$, which makes $t$ a step of sensible size whatever the scale of $x$.
        epsilon: relative rounding error of `along`.
    """
    difference, error = central_difference(along, rtol=0.05 * rtol, atol=0.05 * atol * length, epsilon=epsilon)
    return Comparison(values, float(difference) / length, error / length)
