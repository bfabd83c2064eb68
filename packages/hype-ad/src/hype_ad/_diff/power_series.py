r"""Lazy power series $\sum_k c_k t^k$: a coefficient is computed from lower ones, when it is asked for.

Coefficient k is an array, or None where it is known to be zero; the first is always an array. As coefficient k is only
ever computed from lower ones of itself, a series may be defined by itself: the exponential of x is the integral of its
product with x'. The recurrences are those of Griewank and Walther (2008, "Evaluating derivatives", section 13.2).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Inexact

Start = Inexact[Array, "..."]
Coefficient = Start | None
Apply = Callable[..., Array]


class Series:
    """The power series of one value: its coefficients so far, and how to get the next one."""

    def __init__(
        self,
        start: Start,
        coefficient: Callable[[int], Coefficient],
        slope: Callable[[int], Coefficient] | None = None,
    ):
        self.start = start
        self.slope = slope  # the coefficients of the derivative, where those come first
        self._known: list[Coefficient] = [start]
        self._coefficient = coefficient

    def __getitem__(self, k: int) -> Coefficient:
        while len(self._known) <= k:
            self._known.append(self._coefficient(len(self._known)))
        return self._known[k]


Value: TypeAlias = Series | Array | np.ndarray


def start_of(value: Value) -> Array | np.ndarray:
    """Coefficient 0, or a value that does not change."""
    return value.start if isinstance(value, Series) else value


def variable(x: Float[Array, ""]) -> Series:
    """The variable itself, x + t."""
    return Series(x, lambda k: jnp.ones_like(x) if k == 1 else None)


def constant(value: Start) -> Series:
    """A value that does not change."""
    return Series(value, lambda k: None)


def derivative(x: Series) -> Series:
    """The series of x'."""
    slope = x.slope or (lambda k: scaled(x[k + 1], k + 1))
    first = slope(0)
    return Series(jnp.zeros_like(x.start) if first is None else first, slope)


def integral(start: Start, slope: Callable[[int], Coefficient]) -> Series:
    """The series that has `start` as coefficient 0, and a derivative with the coefficients `slope`."""
    return Series(start, lambda k: scaled(slope(k - 1), 1 / k), slope)


def linear(inputs: Sequence[Series], starts: Sequence[Start], apply: Callable[..., Sequence[Array]]) -> list[Series]:
    """A function of several outputs that is linear in all inputs together: it acts on each coefficient by itself."""
    applied: dict[int, Sequence[Coefficient]] = {}

    def coefficients(k: int) -> Sequence[Coefficient]:
        if k not in applied:
            some = any(x[k] is not None for x in inputs)
            applied[k] = apply(*[_filled(x, k) for x in inputs]) if some else [None] * len(starts)
        return applied[k]

    return [Series(start, lambda k, i=i: coefficients(k)[i]) for i, start in enumerate(starts)]


def product(a: Series, b: Series, start: Start, multiply: Apply) -> Series:
    """A bilinear function of two inputs.

    The terms go in the order in which XLA (JAX 0.10) compiles them fastest, by a third: it dislikes values that are
    used far from where they are computed.
    """
    return Series(start, lambda k: _sum(_product(multiply, a[j], b[k - j]) for j in range(k, -1, -1)))


def square(x: Series, start: Start) -> Series:
    """The product with itself, each pair of different coefficients taken once."""

    def coefficient(k: int) -> Coefficient:
        pairs = scaled(_sum(_product(lax.mul, x[j], x[k - j]) for j in range((k + 1) // 2)), 2)
        return _sum([pairs, _product(lax.mul, x[k // 2], x[k // 2])]) if k % 2 == 0 else pairs

    return Series(start, coefficient)


def total(a: Series, b: Series, start: Start, sign: int) -> Series:
    """Sum or, with a negative sign, difference, of inputs one of which may be a number, or have axes of length 1."""

    def coefficient(k: int) -> Coefficient:
        c = _sum([a[k], b[k] if sign > 0 else scaled(b[k], -1)])
        return c if c is None or c.shape == start.shape else jnp.broadcast_to(c, start.shape)

    return Series(start, coefficient)


def quotient(a: Series, b: Series, start: Start) -> Series:
    """The quotient q = a / b, from a = q b.

    It divides once: XLA (JAX 0.10) takes time that grows out of bounds to compile chains of divisions, thirty times as
    long for fifty softplus to the tenth order.
    """
    reciprocal = lax.div(jnp.ones_like(b.start), b.start)

    def coefficient(k: int) -> Coefficient:
        known = _sum(_product(lax.mul, b[j], q[k - j]) for j in range(1, k + 1))
        rest = _sum([a[k], scaled(known, -1)])
        return None if rest is None else lax.mul(rest, reciprocal)

    q = Series(start, coefficient)
    return q


def power(x: Series, n: int) -> Series:
    """Integer power by repeated squaring, which is right at zero."""
    one = constant(jnp.ones_like(x.start))
    if n == 0:
        return one
    if n == 1:
        return x
    if n < 0:
        inverse = power(x, -n)
        return quotient(one, inverse, lax.div(one.start, inverse.start))
    half = power(x, n // 2)
    even = square(half, lax.mul(half.start, half.start))
    return product(even, x, lax.mul(even.start, x.start), lax.mul) if n % 2 else even


def scaled(c: Coefficient, factor: int | float) -> Coefficient:
    """A coefficient times a number."""
    return c if c is None or factor == 1 else lax.mul(c, lax.full_like(c, float(factor)))


def _product(multiply: Apply, a: Coefficient, b: Coefficient) -> Coefficient:
    return None if a is None or b is None else multiply(a, b)


def _sum(terms: Iterable[Coefficient]) -> Coefficient:
    total: Coefficient = None
    for term in terms:
        if term is not None:
            total = term if total is None else lax.add(total, term)
    return total


def _filled(x: Series, k: int) -> Start:
    c = x[k]
    return jnp.zeros_like(x.start) if c is None else c
