r"""Symplectic integrators, as lists of coefficients.

A step of length $h$ alternates kicks $p \mathrel{+}= b_i h \nabla\log\pi(q)$ and drifts $q \mathrel{+}= a_i h M^{-1}
p$, beginning and ending with a kick. The last gradient of a step is the first of the next, so a step costs as many
gradients as it has drifts. The coefficients read the same from both ends, so running a trajectory from its end with
the momentum reversed leads back.
"""

import math
from collections.abc import Sequence

import equinox as eqx


class Integrator(eqx.Module):
    """A symplectic integrator that begins and ends with a kick.

    Args:
        kicks: how much of the step each change of momentum takes; they add up to 1.
        drifts: how much of the step each change of position takes, one fewer than kicks; they add up to 1.

    Raises:
        ValueError: if the coefficients do not fit each other, do not add up to 1 or do not read the same from both
            ends.
        TypeError: if they are not Python numbers.
    """

    kicks: tuple[float, ...] = eqx.field(static=True)
    drifts: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, kicks: tuple[float, ...], drifts: tuple[float, ...]):
        for name, coefficients in (("kicks", kicks), ("drifts", drifts)):
            if not isinstance(coefficients, Sequence) or not all(isinstance(c, int | float) for c in coefficients):
                raise TypeError(f"`{name}` must be a tuple of Python numbers, got {coefficients!r}.")
        if len(drifts) < 1 or len(kicks) != len(drifts) + 1:
            raise ValueError(f"`kicks` must have one entry more than `drifts`, got {len(kicks)} and {len(drifts)}.")
        for name, coefficients in (("kicks", kicks), ("drifts", drifts)):
            if not math.isclose(sum(coefficients), 1.0, abs_tol=1e-12):
                raise ValueError(f"`{name}` must add up to 1, got {sum(coefficients)}.")
            if not all(
                math.isclose(a, b, abs_tol=1e-12) for a, b in zip(coefficients, coefficients[::-1], strict=True)
            ):
                raise ValueError(f"`{name}` must read the same from both ends, got {coefficients}: no reversible step.")
        self.kicks = tuple(float(b) for b in kicks)
        self.drifts = tuple(float(a) for a in drifts)


leapfrog = Integrator((0.5, 0.5), (1.0,))
"""Order 2, one gradient a step: the usual one (Duane, Kennedy, Pendleton and Roweth 1987)."""

_MCLACHLAN = 0.1931833275037836

mclachlan = Integrator((_MCLACHLAN, 1 - 2 * _MCLACHLAN, _MCLACHLAN), (0.5, 0.5))
"""Order 2 with the smallest error of its two gradients a step (McLachlan 1995; Blanes, Casas and Sanz-Serna 2014)."""

_OUTER = 1 / (2 - 2 ** (1 / 3))
_INNER = 1 - 2 * _OUTER

yoshida = Integrator(
    (_OUTER / 2, (_OUTER + _INNER) / 2, (_INNER + _OUTER) / 2, _OUTER / 2),
    (_OUTER, _INNER, _OUTER),
)
"""Order 4, three gradients a step: three leapfrogs, the middle one backwards (Forest and Ruth 1990; Yoshida 1990)."""
