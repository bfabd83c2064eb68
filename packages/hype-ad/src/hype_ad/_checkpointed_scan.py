"""A scan whose reverse pass keeps few states.

Reverse mode through `jax.lax.scan` keeps what each of the T steps computed. Here the steps are cut into segments of
about equal length, each under `jax.checkpoint`: the forward pass keeps the state at the start of a segment only, and
the reverse pass runs one segment again before it goes back through it. With segments of segments, `levels` deep,
about `levels * T**(1/levels)` states are alive at a time, for `levels - 1` extra forward passes.

It is made of `lax.scan`, `lax.cond` and `jax.checkpoint` alone, so every mode and every order of derivative goes
through it.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

Carry = TypeVar("Carry")
X = TypeVar("X")
Y = TypeVar("Y")


def checkpointed_scan(
    f: Callable[[Carry, Any], tuple[Carry, Y]],
    init: Carry,
    xs: X | None = None,
    levels: int = 2,
    *,
    length: int | None = None,
    load: Callable[[X], Any] | None = None,
    policy: Callable[..., bool] | None = None,
) -> tuple[Carry, Y]:
    r"""`jax.lax.scan` that keeps about `levels * T**(1/levels)` states for reverse mode instead of T.

    Differentiable in `init`, `xs` and all that `f` and `load` close over, in reverse and forward mode, to any order;
    works under `jit` and `vmap`. `f` is traced a constant number of times whatever T. The idea is that of Griewank
    (1992, "Achieving logarithmic growth of temporal and spatial complexity in reverse automatic differentiation")
    with equal segments, as in Chen et al. (2016, "Training deep nets with sublinear memory cost").

    Args:
        f: one step, `(carry, x) -> (carry, y)`, as for `lax.scan`.
        init: the first carry, a pytree of arrays.
        xs: what the steps read, a pytree of arrays with leading axis T, or `None`.
        levels: how deep segments are nested, at least 1. 1 is `lax.scan` itself.
        length: T; needed when `xs` has no arrays.
        load: maps the `xs` of an innermost segment (leading axis about `T**(1/levels)`) to what its steps read in
            their place, once a segment. A step that picks rows of a large array costs a cotangent of that array's
            size at each step; `load=lambda i: data[i]` with row numbers as `xs` costs it once a segment.
        policy: what `jax.checkpoint` may keep besides the states, as in `jax.checkpoint_policies`.

    Returns:
        The last carry, and the stacked `y` with leading axis T.

    Raises:
        TypeError: if `levels` or `length` is not an integer.
        ValueError: if `levels` is below 1, if the leading axes of `xs` differ from one another or from `length`, or
            if neither `xs` nor `length` says how many steps there are.
    """
    if isinstance(levels, bool) or not isinstance(levels, int):
        raise TypeError(f"`levels` must be an integer, got {levels!r}.")
    if levels < 1:
        raise ValueError(f"`levels` must be at least 1, got {levels}.")
    steps = _number_of_steps(xs, length)
    load = (lambda segment: segment) if load is None else load
    if steps == 0:
        return lax.scan(lambda carry, x: f(carry, x), init, load(xs), length=0)

    lengths = _segment_lengths(steps, levels)
    padded = math.prod(lengths)
    step = f if padded == steps else _masked(f, steps)

    def run(depth: int, carry: Carry, numbers: jax.Array, xs: Any) -> tuple[Carry, Any]:
        if depth == len(lengths) - 1:
            loaded = load(xs)
            if padded == steps:
                return lax.scan(lambda carry, x: step(carry, x), carry, loaded, length=lengths[depth])
            return lax.scan(lambda carry, x: step(carry, *x), carry, (numbers, loaded), length=lengths[depth])
        inner = jax.checkpoint(
            lambda carry, numbers, xs: run(depth + 1, carry, numbers, xs), prevent_cse=False, policy=policy
        )
        return lax.scan(lambda carry, x: inner(carry, *x), carry, (numbers, xs), length=lengths[depth])

    def fold(x: jax.Array) -> jax.Array:
        x = jnp.asarray(x)
        # The steps past the end never run; they repeat the last `x` so that what `load` makes of them is ordinary.
        tail = jnp.broadcast_to(x[-1:], (padded - steps, *x.shape[1:]))
        return (jnp.concatenate([x, tail]) if padded > steps else x).reshape(*lengths, *x.shape[1:])

    carry, ys = run(0, init, jnp.arange(padded).reshape(lengths), jax.tree.map(fold, xs))
    return carry, jax.tree.map(lambda y: y.reshape(padded, *y.shape[len(lengths) :])[:steps], ys)


def _number_of_steps(xs: Any, length: int | None) -> int:
    if length is not None and (isinstance(length, bool) or not isinstance(length, int)):
        raise TypeError(f"`length` must be an integer, got {length!r}.")
    sizes = {jnp.shape(x)[0] if jnp.ndim(x) else None for x in jax.tree.leaves(xs)}
    if None in sizes:
        raise ValueError("Each array of `xs` must have a leading axis over the steps, but one of them is a scalar.")
    if length is not None:
        if length < 0:
            raise ValueError(f"`length` must be at least 0, got {length}.")
        sizes.add(length)
    if not sizes:
        raise ValueError("`checkpointed_scan` needs `xs` with arrays, or `length`, to know how many steps to make.")
    if len(sizes) > 1:
        raise ValueError(f"The leading axes of `xs` and `length` must agree, got {sorted(sizes)}.")
    return sizes.pop()


def _segment_lengths(steps: int, levels: int) -> tuple[int, ...]:
    """Factors of `steps`, outermost first, near `steps**(1/levels)`; a little more than `steps` where it has none."""
    if levels == 1:
        return (steps,)
    best = max(1, round(steps ** (1 / levels)))
    # A segment up to a quarter longer or shorter than the best costs a few percent of memory; a masked tail costs time.
    near = [n for n in range(math.ceil(0.75 * best), math.floor(1.25 * best) + 1) if steps % n == 0]
    inner = min(near, key=lambda n: abs(n - best), default=best)
    return (*_segment_lengths(math.ceil(steps / inner), levels - 1), inner)


def _masked(f: Callable[[Carry, Any], tuple[Carry, Y]], steps: int) -> Callable[..., tuple[Carry, Y]]:
    def step(carry: Carry, number: jax.Array, x: Any) -> tuple[Carry, Y]:
        _, y = jax.eval_shape(f, carry, x)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), y)
        return lax.cond(number < steps, f, lambda carry, _: (carry, nothing), carry, x)

    return step
