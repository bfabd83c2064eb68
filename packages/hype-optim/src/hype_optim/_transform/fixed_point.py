r"""Heavy-ball steps in fixed-point integers that run backwards bit for bit (Maclaurin et al. 2015, section 2.2).

Adding integers loses nothing; multiplying the velocity by a momentum $n / d$ below 1 does. The digit that the division
by $d$ would drop is pushed into a buffer, a large integer in a base of its own, from which the digit that the
multiplication by $n$ has room for is popped. So each product adds $\log_2(d / n)$ bits to the buffer. Every so often
its lower half is set aside as a word; the same arithmetic in reverse takes the words back.

The velocity has `EXTRA` more fractional bits than the weights, since a product moves it by up to $n$ units.
64-bit integers are made here and nowhere else, whether or not JAX's 64-bit mode is on.
"""

import math
from collections.abc import Iterable
from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree, UInt

EXTRA = 16
DENOMINATOR = 2**16
WORD = 32
_LIMIT = 2**60


class Exact(eqx.Module):
    """Where a run is, in integers.

    Attributes:
        w: the weights, in units of $2^{-b}$.
        v: the velocity, in units of $2^{-b - 16}$.
        buffer: the digits that its products have dropped.
        lost: whether a number has left the range of the integers; then nothing changes any more.
    """

    w: PyTree[Int[Array, "..."]]
    v: PyTree[Int[Array, "..."]]
    buffer: PyTree[Int[Array, "..."]]
    lost: Bool[Array, ""]


def numerators(decay: PyTree, w: PyTree) -> PyTree[Int[Array, "..."]]:
    """The momentum's numerator for each leaf of the weights, at least 1."""
    whole = lambda m: jnp.clip(jnp.round(jax.lax.stop_gradient(m) * DENOMINATOR), 1, DENOMINATOR - 1).astype(jnp.int32)
    return jax.tree.map(lambda m, part: jax.tree.map(lambda _: whole(m), part), decay, w)


def steps_per_word(least: float) -> int:
    """How many products fill a word of the buffer at most, with momenta of at least `least`.

    A little less than a word's bits, so that what is left in the buffer stays small.
    """
    n = max(1, round(least * DENOMINATOR))
    return max(1, math.floor((WORD - 0.1) / math.log2(DENOMINATOR / n)))


def encode(w: PyTree, v: PyTree, bits: int) -> Exact:
    """The integers nearest to floats."""
    with jax.enable_x64(True):
        inside = lambda tree, bits: _all(jnp.all(_is_inside(x, bits)) for x in jax.tree.leaves(tree))
        lost = ~(inside(w, bits) & inside(v, bits + EXTRA))
        empty = jax.tree.map(lambda leaf: jnp.zeros_like(leaf, jnp.int64), w)
        return Exact(_rounded(w, bits), _rounded(v, bits + EXTRA), empty, lost)


def decode(exact: Exact, like: PyTree, bits: int) -> tuple[PyTree, PyTree]:
    """Weights and velocity as floats with the dtypes of `like`; NaN where the range was left."""
    with jax.enable_x64(True):
        unit = lambda bits: jnp.where(exact.lost, jnp.nan, jnp.array(2.0**-bits, jnp.float64))
        floats = lambda tree, bits: jax.tree.map(
            lambda n, x: (n.astype(jnp.float64) * unit(bits)).astype(x.dtype), tree, like
        )
        return floats(exact.w, bits), floats(exact.v, bits + EXTRA)


def advance(
    exact: Exact, step: PyTree, numerators: PyTree, bits: int, running: Bool[Array, ""]
) -> tuple[Exact, Bool[Array, ""]]:
    """`v' = n / d v + step` and `w' = w + v'`, and whether that was made: if the run goes on and all is in range."""
    with jax.enable_x64(True):
        multiplied = jax.tree.map(_multiply, exact.v, exact.buffer, numerators)
        buffer = jax.tree.map(lambda _, pair: pair[1], exact.v, multiplied)
        v = jax.tree.map(lambda _, pair, s: pair[0] + s, exact.v, multiplied, _rounded(step, bits + EXTRA))
        w = jax.tree.map(lambda w, v: w + _shifted(v), exact.w, v)
        made = running & ~exact.lost
        pick = lambda new, old: jax.tree.map(lambda a, b: jnp.where(made, a, b), new, old)
        # A velocity is at most steps / (1 - n / d) long. The step after one out of range can be undone too.
        room = lambda n: (_LIMIT / 2.0 ** (bits + EXTRA)) * (1 - n.astype(jnp.float64) / DENOMINATOR)
        inside = jax.tree.map(lambda s, n: jnp.all(jnp.abs(s.astype(jnp.float64)) < room(n)), step, numerators)
        lost = exact.lost | made & ~_all(jax.tree.leaves(inside))
        return Exact(pick(w, exact.w), pick(v, exact.v), pick(buffer, exact.buffer), lost), made


def weights_before(exact: Exact, made: Bool[Array, ""], lost: Bool[Array, ""]) -> Exact:
    """The first half of a step back: the weights that the step was made from; `lost` is what that was before it."""
    with jax.enable_x64(True):
        w = jax.tree.map(lambda w, v: jnp.where(made, w - _shifted(v), w), exact.w, exact.v)
        return eqx.tree_at(lambda e: (e.w, e.lost), exact, (w, lost))


def velocity_before(exact: Exact, step: PyTree, numerators: PyTree, bits: int, made: Bool[Array, ""]) -> Exact:
    """The second half: the velocity and the buffer before the step, which is that from the weights before."""
    with jax.enable_x64(True):
        product = jax.tree.map(lambda v, s: v - s, exact.v, _rounded(step, bits + EXTRA))
        divided = jax.tree.map(_divide, product, exact.buffer, numerators)
        pick = lambda i, old: jax.tree.map(lambda a, pair: jnp.where(made, pair[i], a), old, divided)
        return eqx.tree_at(lambda e: (e.v, e.buffer), exact, (pick(0, exact.v), pick(1, exact.buffer)))


def set_aside(exact: Exact) -> tuple[Exact, PyTree[UInt[Array, "..."]]]:
    """The lower words of the buffer, and what is left without them; also a look at whether the weights are in range.

    In as few steps as fill a word, no velocity takes them from there to the end of the integers.
    """
    with jax.enable_x64(True):
        words = jax.tree.map(lambda b: b.astype(jnp.uint32), exact.buffer)
        rest = jax.tree.map(lambda b: b >> WORD, exact.buffer)
        inside = _all(jnp.all(jnp.abs(w) < _LIMIT) for w in jax.tree.leaves(exact.w))
        return eqx.tree_at(lambda e: (e.buffer, e.lost), exact, (rest, exact.lost | ~inside)), words


def take_back(exact: Exact, words: PyTree[UInt[Array, "..."]]) -> Exact:
    """The buffer with the lower words that were set aside."""
    with jax.enable_x64(True):
        whole = jax.tree.map(lambda b, w: (b << WORD) | w.astype(jnp.int64), exact.buffer, words)
        return eqx.tree_at(lambda e: e.buffer, exact, whole)


def same(a: Exact, b: Exact) -> Bool[Array, ""]:
    """Whether two states are the same to the last bit."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return _all(jnp.all(x == y) for x, y in pairs)


def _multiply(v: Array, buffer: Array, n: Array) -> tuple[Array, Array]:
    pushed = (buffer << EXTRA) | (v & (DENOMINATOR - 1))
    rest, digit = _divmod(pushed, n.astype(jnp.int64))
    return (v >> EXTRA) * n.astype(jnp.int64) + digit, rest


def _divide(v: Array, buffer: Array, n: Array) -> tuple[Array, Array]:
    quotient, digit = _divmod(v, n.astype(jnp.int64))
    pushed = buffer * n.astype(jnp.int64) + digit
    return (quotient << EXTRA) | (pushed & (DENOMINATOR - 1)), pushed >> EXTRA


def _divmod(a: Array, n: Array) -> tuple[Array, Array]:
    """`divmod(a, n)` by floats, which is many times faster on a CPU: off by 1 at most for `|a| < 2**60 * n / 2**10`."""
    quotient = jnp.floor(a.astype(jnp.float64) * (1 / n.astype(jnp.float64))).astype(jnp.int64)
    rest = a - quotient * n
    correction = (rest >= n).astype(jnp.int64) - (rest < 0).astype(jnp.int64)
    return quotient + correction, rest - correction * n


def _shifted(v: Array) -> Array:
    """A velocity in units of the weights."""
    return v >> EXTRA


def _rounded(tree: PyTree, bits: int) -> PyTree:
    # Of what is out of range nothing is used, but its conversion would not be defined.
    scaled = lambda x: jnp.where(_is_inside(x, bits), jnp.round(x.astype(jnp.float64) * 2.0**bits), 0)
    return jax.tree.map(lambda x: scaled(x).astype(jnp.int64), tree)


def _is_inside(x: Array, bits: int) -> Array:
    return jnp.abs(x.astype(jnp.float64)) < _LIMIT / 2.0**bits


def _all(conditions: Iterable[Array]) -> Array:
    return reduce(jnp.logical_and, conditions)
