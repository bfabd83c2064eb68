"""`checkpointed_scan`: a scan whose reverse pass keeps few states, by recursive checkpointing.

Reverse mode through `jax.lax.scan` keeps what each of the T steps computed. Here the steps are cut into segments of
about equal length, each under `jax.checkpoint`: the forward pass keeps the state at the start of a segment only, and
the reverse pass runs one segment again before it goes back through it. With segments of segments, `levels` deep,
about `levels * T**(1/levels)` states are alive at a time, for `levels - 1` extra forward passes. What the steps of one
innermost segment compute inside is alive together; where that outweighs the states, the innermost level can be a
single step.

It is made of `lax.scan` and `jax.checkpoint` alone, so every mode and every order of derivative goes through it.
"""

import math
from collections.abc import Callable
from typing import Any, SupportsIndex, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from .internal.checks import boolean, integer

FEW = 16
"""Fewer steps than this are not worth segments."""

Carry = TypeVar("Carry")
X = TypeVar("X")
Y = TypeVar("Y")


def checkpointed_scan(
    f: Callable[[Carry, Any], tuple[Carry, Y]],
    init: Carry,
    xs: X = None,
    levels: SupportsIndex = 2,
    *,
    length: SupportsIndex | None = None,
    load: Callable[[X], Any] | None = None,
    single_steps: bool = False,
    policy: Callable[..., bool] | None = None,
) -> tuple[Carry, Y]:
    r"""`jax.lax.scan` that keeps about `levels * T**(1/levels)` states for reverse mode instead of T.

    Differentiable in `init`, `xs` and all that `f` and `load` close over, in reverse and forward mode, to any order;
    works under `jit` and `vmap`, and inside of itself. `f` is traced a constant number of times whatever T. The idea
    is that of Griewank (1992, "Achieving logarithmic growth of temporal and spatial complexity in reverse automatic
    differentiation") with equal segments, as in Chen et al. (2016, "Training deep nets with sublinear memory cost").

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_ad import checkpointed_scan
        >>> def decayed(rate):
        ...     return checkpointed_scan(lambda x, _: (x * (1 - rate), None), jnp.array(1.0), length=1000)[0]
        >>> print(f"{jax.grad(decayed)(1e-3):.1f}")  # -1000 * (1 - rate) ** 999
        -368.1

    Args:
        f: one step, `(carry, x) -> (carry, y)`, as for `lax.scan`.
        init: the first carry, a pytree of arrays.
        xs: what the steps read, a pytree of arrays with leading axis T, or `None`.
        levels: how deep segments are nested, at least 1. 1 is `lax.scan` itself.
        length: T; needed when `xs` has no arrays.
        load: maps the `xs` of an innermost segment (leading axis about `T**(1/levels)`) to what its steps read in
            their place, once a segment. A step that picks rows of a large array costs a cotangent of that array's
            size at each step; `load=lambda i: data[i]` with row numbers as `xs` costs it once a segment.
        single_steps: whether the innermost of the `levels` is one step, recomputed alone, so that the reverse pass
            keeps about `(levels - 1) * T**(1/(levels - 1))` states and what one step computes inside, in place of that
            of a segment, for as many forward passes. For steps that compute much more than their state. With 2 levels
            `load` is called for each step; with 1 it changes nothing.
        policy: what `jax.checkpoint` may keep besides the states, as in `jax.checkpoint_policies`.

    Returns:
        The last carry, and the stacked `y` with leading axis T.

    Raises:
        TypeError: if `levels` or `length` is not an integer, or `single_steps` not a bool.
        ValueError: if `levels` is below 1 or `length` below 0, if `xs` holds a scalar, if the leading axes of `xs`
            differ from one another or from `length`, or if neither says how many steps there are.
    """
    levels = integer("levels", levels, 1)
    steps = _number_of_steps(xs, length)
    load = (lambda segment: segment) if load is None else load
    if boolean("single_steps", single_steps) and levels > 1:
        if levels == 2:
            f, load = _loading(f, load), lambda segment: segment
        alone = jax.checkpoint(lambda carry, x: f(carry, x), prevent_cse=False, policy=policy)
        return checkpointed_scan(alone, init, xs, levels - 1, length=steps, load=load, policy=policy)
    if levels == 1 or steps < FEW:
        return lax.scan(lambda carry, x: f(carry, x), init, load(xs), length=steps)

    inner = _segment_length(steps, levels)
    outer, rest = divmod(steps, inner)

    def segment(carry: Carry, xs: Any, length: int = inner) -> tuple[Carry, Any]:
        return lax.scan(lambda carry, x: f(carry, x), carry, load(xs), length=length)

    # Inside of a scan nothing can merge the second run of a segment with the first, so that need not be prevented.
    saving = jax.checkpoint(segment, prevent_cse=False, policy=policy)
    whole = jax.tree.map(lambda x: x[: outer * inner].reshape(outer, inner, *x.shape[1:]), xs)
    carry, ys = checkpointed_scan(saving, init, whole, levels - 1, length=outer, policy=policy)
    ys = jax.tree.map(lambda y: y.reshape(outer * inner, *y.shape[2:]), ys)
    if rest == 0:
        return carry, ys
    last = jax.checkpoint(lambda carry, xs: segment(carry, xs, rest), policy=policy)
    carry, ys_rest = last(carry, jax.tree.map(lambda x: x[outer * inner :], xs))
    return carry, jax.tree.map(lambda y, y_rest: jnp.concatenate([y, y_rest]), ys, ys_rest)


def _loading(
    f: Callable[[Carry, Any], tuple[Carry, Y]], load: Callable[[X], Any]
) -> Callable[[Carry, Any], tuple[Carry, Y]]:
    """The step that loads what it reads by itself."""

    def step(carry: Carry, x: Any) -> tuple[Carry, Y]:
        loaded = load(jax.tree.map(lambda leaf: leaf[None], x))
        return f(carry, jax.tree.map(lambda leaf: leaf[0], loaded))

    return step


def _number_of_steps(xs: Any, length: SupportsIndex | None) -> int:
    leaves = jax.tree.leaves(xs)
    if any(jnp.ndim(x) == 0 for x in leaves):
        raise ValueError("`xs` must have a leading axis over the steps in each of its arrays, got a scalar.")
    sizes = {jnp.shape(x)[0] for x in leaves}
    if length is not None:
        sizes.add(integer("length", length, 0))
    if not sizes:
        raise ValueError("`length` must be the number of steps where `xs` has no arrays, got None.")
    if len(sizes) > 1:
        raise ValueError(f"`xs` must have leading axes of one length, that of `length`, got {sorted(sizes)}.")
    return sizes.pop()


def _segment_length(steps: int, levels: int) -> int:
    """The length of an innermost segment: near `steps**(1/levels)`, and a factor of `steps` if there is one nearby.

    A longer list of segments costs a little memory; a rest costs compiling the step once more. A rest of one step is
    avoided, since XLA dissolves a loop of one step into what is around it, which rounds differently.
    """
    best = steps ** (1 / levels)
    near = range(max(2, math.ceil(best / 2)), max(3, round(1.25 * best)) + 1)
    return min(near, key=lambda n: (steps % n != 0, steps % n == 1, abs(math.log(n / best))))
