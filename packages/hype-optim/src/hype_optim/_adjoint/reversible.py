"""Reverse mode that keeps no states: a run in fixed-point integers that is run backwards (Maclaurin et al. 2015).

The run is handed a momentum that shows the step it is given. The scan here adds that step to integers, which is exact,
and hands the run the floats that they stand for, so all else in a step is the run's own. On the way back the same
program computes the step from the weights before, which undoes it bit for bit; then the step is differentiated there.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import integer, static_number
from hype_ad.internal.closing import closure_convert
from hype_ad.internal.settled import like
from hype_ad.internal.tree import add, all_finite, scale, zeros_like
from jax import lax
from jaxtyping import Array, Bool, PyTree

from .._config.momentum import AbstractMomentum
from .._run.status import Status
from .._transform import fixed_point
from .._transform.fixed_point import DENOMINATOR, Exact
from .._transform.nondifferentiable import nondifferentiable
from .._transform.reverse_only import reverse_only
from .base import AbstractAdjoint, Load, Run, Solution, Step, number_of_steps
from .reversible_limits import FORWARD, SECOND, check_invertible, is_ours, warn_of_end, warn_of_mismatch

LOADED = 32
"""At most so many steps read their batches at once."""


class Reversible(AbstractAdjoint):
    r"""Exact, for first derivatives in reverse mode, which keeps `-log2(least_momentum)` bits for each weight and step.

    For `GD` and other methods that remember nothing, with `Momentum` and a rate that remembers nothing. The weights and
    the velocity are integers, multiples of $2^{-b}$ and $2^{-b-16}$, and the momentum is a multiple of $2^{-16}$ (at
    0.9999 that may change its distance from 1 by 8%); what its multiplication would drop is kept (Maclaurin, Duvenaud &
    Adams 2015, "Gradient-based hyperparameter optimization through reversible learning"). So the reverse pass runs the
    training backwards to where it began, bit for bit, and computes each step again on the way. In a step the weights
    differ by less than $2^{1-b}$ from those of exact arithmetic with that momentum. A run is the same whether or not it
    is differentiated.

    With $m$ the momentum, a weight beyond $2^{60 - b}$, or a step beyond $(1 - m) 2^{44 - b}$ before momentum, ends a
    run as `Status.OUT_OF_RANGE`, with a warning when the program runs. The reverse pass compares where it arrives with
    where the run began; if they differ, as they may where a device does not compute the same step twice from the same
    weights, the derivative is NaN, and there is a warning too. A `state` has floats, so that a run that goes on from
    one is not bit for bit the one that was not interrupted.

    Args:
        fraction_bits: $b$, from 8 to 44: how fine the weights are.
        least_momentum: the smallest momentum that there is room for, from 1/64 to 0.999. The memory is that of this
            one, whatever the momentum is, which is not known when a program is compiled. A run with a smaller one makes
            no steps and ends as `Status.SMALL_MOMENTUM`, also with a warning.

    Raises:
        TypeError: if `fraction_bits` is not an integer, or `least_momentum` not a number known before compiling.
        ValueError: if one is out of its range, or if a run has parts that cannot be run backwards: another momentum,
            a method or a rate that remembers something, a line search, a constraint, early stopping, a tolerance or
            `track_sensitivity`.
    """

    assumption: ClassVar[str] = (
        "Under `Reversible` the momentum is a multiple of 2**-16, so that differences in it prove nothing, and the "
        "device must compute each step twice with the same result."
    )

    fraction_bits: int = eqx.field(static=True)
    least_momentum: float = eqx.field(static=True)

    def __init__(self, fraction_bits: int = 40, least_momentum: float | int = 0.5):
        self.fraction_bits = integer("fraction_bits", fraction_bits, 8)
        if self.fraction_bits > 44:
            raise ValueError(f"`fraction_bits` must be at most 44, got {fraction_bits}.")
        self.least_momentum = static_number("least_momentum", least_momentum)
        if not 1 / 64 <= self.least_momentum <= 0.999:
            raise ValueError(f"`least_momentum` must be at least 1/64 and at most 0.999, got {least_momentum}.")

    def solve(self, run: Run, state: PyTree, params: PyTree, gradient: Callable[[PyTree], PyTree]) -> Solution:
        """The run in integers."""
        check_invertible(state, params)
        decay = params.momentum.decay
        smallest = round(self.least_momentum * DENOMINATOR)
        numerators = fixed_point.numerators(decay, state.w)
        large_enough = jnp.all(jnp.array([jnp.all(n >= smallest) for n in jax.tree.leaves(numerators)]))
        params = eqx.tree_at(lambda p: p.momentum, params, ReversibleMomentum(jax.tree.map(_nearest, decay)))

        def scan(step: Step, init: PyTree, xs: PyTree, load: Load) -> tuple[PyTree, PyTree]:
            init = _join(init, init.w, init.memory.momentum[0])
            plan = _plan(number_of_steps(xs), fixed_point.steps_per_word(self.least_momentum), self.fraction_bits)
            padded = jax.tree.map(lambda leaf: leaf[jnp.minimum(jnp.arange(plan.size), plan.steps - 1)], xs)
            xs = _folded(padded, plan)
            first = jax.tree.map(lambda leaf: leaf[0, 0], xs)
            load = closure_convert(load, first)
            x = jax.eval_shape(lambda first: jax.tree.map(lambda leaf: leaf[0], load(first)), first)
            step = closure_convert(step, _join(init, init.w, (init.w, init.w)), x)
            moving, fixed = eqx.partition((step, load, init), eqx.is_inexact_array)
            return _run(reverse_only(moving, FORWARD), fixed, (xs, numerators, large_enough), plan)

        # Of the kind that the steps make of it.
        return Solution(*run(scan, _join(state, state.w, (state.memory.momentum, zeros_like(state.w))), params))


class ReversibleMomentum(AbstractMomentum):
    """Heavy-ball momentum whose memory is the velocity and the step that it was given."""

    decay: PyTree

    def init(self, w: PyTree) -> PyTree:
        """No velocity, and no step."""
        return zeros_like(w), zeros_like(w)

    def update(self, step: PyTree, memory: PyTree) -> tuple[PyTree, PyTree]:
        """The new velocity."""
        velocity = add(scale(self.decay, memory[0]), step)
        return velocity, (velocity, step)


def _nearest(decay: Array) -> Array:
    """The multiple of the unit that is used, with the derivative of `decay` itself."""
    multiple = jnp.clip(jnp.round(decay * DENOMINATOR), 1, DENOMINATOR - 1) / DENOMINATOR
    return decay + lax.stop_gradient(multiple - decay)


class _Plan(NamedTuple):
    """How steps are laid out: `words` times `parts` times `length` of them, of which the first `steps` are made."""

    steps: int
    words: int
    parts: int
    length: int
    bits: int

    @property
    def size(self) -> int:
        return self.words * self.parts * self.length


def _plan(steps: int, per_word: int, bits: int) -> _Plan:
    """Words of at most `per_word` steps, in parts that read their batches at once."""
    most = min(steps, per_word)
    shortest = max(1, min(most, LOADED) // 2)
    length = max(range(shortest, min(most, LOADED) + 1), key=lambda n: (most // n * n, n))
    parts = most // length if steps > per_word else math.ceil(steps / length)
    return _Plan(steps, math.ceil(steps / (parts * length)), parts, length, bits)


def _folded(tree: PyTree, plan: _Plan) -> PyTree:
    fold = lambda leaf: leaf.reshape(plan.words, plan.parts, plan.length, *leaf.shape[1:])
    return jax.tree.map(fold, tree)


def _unfolded(tree: PyTree, plan: _Plan) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.reshape(plan.size, *leaf.shape[3:])[: plan.steps], tree)


class _Undoing(NamedTuple):
    """What a step back needs besides the integers: the rest of the state before, and what became of the step."""

    rest: PyTree
    made: Bool[Array, ""]
    lost: Bool[Array, ""]


def _join(state: PyTree, w: PyTree, momentum: PyTree) -> PyTree:
    """The state with other weights and another memory of the momentum."""
    return _replaced(lambda s: (s.w, s.memory.momentum), state, (w, momentum))


def _with_known(state: PyTree, best_w: PyTree, key: Any) -> PyTree:
    """The state with other best weights and another key, which need not be kept at each step."""
    return _replaced(lambda s: (s.judgement.best_w, s.key), state, (best_w, key))


def _replaced(where: Callable[[PyTree], tuple], state: PyTree, parts: tuple) -> PyTree:
    return eqx.tree_at(where, state, parts, is_leaf=lambda x: x is None)


def _fenced(state: PyTree, x: PyTree) -> tuple[PyTree, PyTree]:
    """What a step reads, so that the step is compiled the same whatever is before it."""
    keys = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    arrays, rest = eqx.partition((state, x), lambda leaf: eqx.is_array(leaf) and not keys(leaf))
    return eqx.combine(lax.optimization_barrier(arrays), rest)


def _added(state: PyTree) -> PyTree:
    """What a step has added to the velocity, compiled the same whatever is after it."""
    return lax.optimization_barrier(state.memory.momentum[1])


def _start(
    moving: PyTree, fixed: PyTree, large_enough: Bool[Array, ""], plan: _Plan
) -> tuple[Step, Load, PyTree, Exact]:
    step, load, init = eqx.combine(moving, fixed)
    exact = fixed_point.encode(init.w, init.memory.momentum, plan.bits)
    return step, load, init, eqx.tree_at(lambda e: e.lost, exact, exact.lost | ~large_enough)


def _forward(moving: PyTree, fixed: PyTree, inputs: PyTree, plan: _Plan, keeps: bool) -> tuple[Any, Any]:
    """The run; and if it `keeps` that, what the way back needs."""
    xs, numerators, large_enough = inputs
    step, load, init, exact = _start(moving, fixed, large_enough, plan)
    none = zeros_like(init.w)
    init = _ended(init, ~large_enough, Status.SMALL_MOMENTUM)
    init = _ended(init, exact.lost, _reason(exact.lost, (init.w, init.memory.momentum)))

    def make(carry: tuple[PyTree, Exact], x: PyTree) -> tuple[Any, Any]:
        rest, exact = carry
        w, v = fixed_point.decode(exact, none, plan.bits)
        state, y = step(*_fenced(_join(rest, w, (v, none)), x))
        added = _added(state)
        after, made = fixed_point.advance(exact, added, numerators, plan.bits, state.running)
        state = _ended(state, after.lost, _reason(after.lost, added))
        undoing = _Undoing(_with_known(rest, None, None), made, exact.lost) if keeps else None
        return (_join(state, None, None), after), (y, undoing)

    def maybe(carry: tuple[PyTree, Exact], inputs: tuple[PyTree, Bool[Array, ""]]) -> tuple[Any, Any]:
        x, is_one = inputs
        skip = lambda carry, x: (carry, _zeros(jax.eval_shape(make, carry, x)[1]))
        return lax.cond(is_one, make, like(make, skip), carry, x)

    def part(carry: tuple[PyTree, Exact], inputs: tuple[PyTree, PyTree]) -> tuple[Any, Any]:
        xs, are_some = inputs
        return lax.scan(maybe, carry, (load(xs), are_some))

    def word(carry: tuple[PyTree, Exact], inputs: PyTree) -> tuple[Any, Any]:
        (rest, exact), made = lax.scan(part, carry, inputs)
        exact, words = fixed_point.set_aside(exact)
        return (_ended(rest, exact.lost, Status.OUT_OF_RANGE), exact), (made, words if keeps else None)

    carry = _join(init, None, None), exact
    (rest, exact), ((ys, undoing), words) = lax.scan(word, carry, (xs, _are_some(plan)))
    failed = is_ours(rest.status)
    lax.cond(failed, lambda status: jax.debug.callback(warn_of_end, status), lambda status: None, rest.status)
    w, v = fixed_point.decode(exact, none, plan.bits)
    return (_join(rest, w, v), _unfolded(ys, plan)), (exact, undoing, words)


def _ended(state: PyTree, lost: Bool[Array, ""], reason: Status) -> PyTree:
    """The state of a run that ends here, if it has not ended before and a number is lost."""
    status = Status.where(state.running & lost, reason, state.status)
    return _replaced(lambda s: (s.running, s.status), state, (state.running & ~lost, status))


def _reason(lost: Bool[Array, ""], numbers: PyTree) -> Status:
    """Why a run has lost a number; only one that has looks at them."""
    look = lambda: all_finite(numbers)
    is_finite = lax.cond(lost, look, like(look, lambda: jnp.array(True)))
    return Status.where(is_finite, Status.OUT_OF_RANGE, Status.DIVERGED)


def _are_some(plan: _Plan) -> Array:
    return _folded(jnp.arange(plan.size) < plan.steps, plan)


def _zeros(shapes: PyTree) -> PyTree:
    return jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), shapes)


@eqx.filter_custom_vjp
def _run(moving: PyTree, fixed: PyTree, inputs: PyTree, plan: _Plan) -> tuple[PyTree, PyTree]:
    return _forward(moving, fixed, inputs, plan, keeps=False)[0]


@_run.def_fwd
def _run_fwd(perturbed: PyTree, moving: PyTree, fixed: PyTree, inputs: PyTree, plan: _Plan) -> tuple[Any, Any]:
    return _forward(moving, fixed, inputs, plan, keeps=True)


@_run.def_bwd
def _run_bwd(
    kept: PyTree, cotangent: PyTree, perturbed: PyTree, moving: PyTree, fixed: PyTree, inputs: PyTree, plan: _Plan
) -> PyTree:
    kept, moving, cotangent = nondifferentiable((kept, moving, cotangent), SECOND)
    exact, undoing, words = kept
    xs, numerators, large_enough = inputs
    step, load, init, start = _start(moving, fixed, large_enough, plan)
    none = zeros_like(init.w)
    of_step, of_load = (eqx.filter(*pair) for pair in zip(moving[:2], perturbed[:2], strict=True))
    reads = bool(jax.tree.leaves(of_load))

    def back(carry: PyTree, x: PyTree, undoing: _Undoing, of_y: PyTree) -> tuple[PyTree, PyTree]:
        exact, of_state, of_consts = carry
        exact = fixed_point.weights_before(exact, undoing.made, undoing.lost)
        w, _ = fixed_point.decode(exact, none, plan.bits)
        # The best weights so far are passed on or not; a derivative does not depend on what they are.
        state, x = _fenced(_with_known(_join(undoing.rest, w, (none, none)), w, init.key), x)
        added = _added(step(state, x)[0])
        exact = fixed_point.velocity_before(exact, added, numerators, plan.bits, undoing.made)
        _, v = fixed_point.decode(exact, none, plan.bits)
        # What this step has in common with the one above is computed once.
        state, other = _floats(_join(state, state.w, (v, none)))
        x, other_x = _floats(x)

        def function(state: PyTree, consts: PyTree, x: PyTree) -> PyTree:
            return _floats(eqx.combine(consts, step)(eqx.combine(state, other), eqx.combine(x, other_x)))[0]

        _, pull = jax.vjp(function, state, of_step, x)
        of_state = _join(of_state, of_state.w, (of_state.memory.momentum, none))
        of_state, consts, of_x = pull((of_state, of_y))
        of_state = _join(of_state, of_state.w, of_state.memory.momentum[0])
        return (exact, of_state, add(of_consts, consts)), of_x if reads else None

    def maybe(carry: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
        is_one, *rest = inputs
        skip = lambda carry, *rest: (carry, _zeros(jax.eval_shape(back, carry, *rest)[1]))
        return lax.cond(is_one, back, like(back, skip), carry, *rest)

    def part(carry: PyTree, inputs: PyTree) -> tuple[PyTree, None]:
        (exact, of_state, consts, of_loads), (xs, *rest) = carry, inputs
        x, pull = load(xs), jax.vjp(lambda of_load: _floats(eqx.combine(of_load, load)(xs))[0], of_load)[1]
        are_some, undoing, of_y = rest
        carry, of_x = lax.scan(maybe, (exact, of_state, consts), (are_some, x, undoing, of_y), reverse=True)
        return (*carry, add(of_loads, pull(of_x)[0]) if reads else of_loads), None

    def word(carry: PyTree, inputs: PyTree) -> tuple[PyTree, None]:
        (exact, *others), (words, *rest) = carry, inputs
        return lax.scan(part, (fixed_point.take_back(exact, words), *others), tuple(rest), reverse=True)

    of_end, of_ys = cotangent
    of_state = _filled(of_end, _floats(init)[0])
    of_ys = _filled_ys(of_ys, step, init, load, xs, plan)
    carry = (exact, of_state, zeros_like(of_step), zeros_like(of_load))
    carry, _ = lax.scan(word, carry, (words, xs, _are_some(plan), undoing, of_ys), reverse=True)
    exact, *gradient = carry
    arrived = fixed_point.same(exact, start)
    lax.cond(arrived, lambda: None, lambda: jax.debug.callback(warn_of_mismatch, arrived))
    factor = jnp.where(arrived, 1, jnp.nan)
    of_init, of_step, of_load = jax.tree.map(lambda leaf: factor.astype(leaf.dtype) * leaf, tuple(gradient))
    return of_step, of_load, of_init


def _floats(tree: PyTree) -> tuple[PyTree, PyTree]:
    return eqx.partition(tree, eqx.is_inexact_array)


def _filled(cotangent: PyTree, tree: PyTree) -> PyTree:
    """Zeros where a cotangent is left out."""
    fill = lambda leaf, c: None if leaf is None else jnp.zeros_like(leaf) if c is None else c
    return jax.tree.map(fill, tree, cotangent, is_leaf=lambda x: x is None)


def _filled_ys(cotangent: PyTree, step: Step, init: PyTree, load: Load, xs: PyTree, plan: _Plan) -> PyTree:
    first = lambda xs: jax.tree.map(lambda leaf: leaf[0], load(jax.tree.map(lambda leaf: leaf[0, 0], xs)))
    _, y = jax.eval_shape(lambda: step(_join(init, init.w, (init.w, init.w)), first(xs)))
    is_float = lambda leaf: jnp.issubdtype(leaf.dtype, jnp.inexact)
    whole = jax.tree.map(lambda y: jax.ShapeDtypeStruct((plan.steps, *y.shape), y.dtype), eqx.filter(y, is_float))
    pad = lambda leaf: jnp.concatenate([leaf, jnp.zeros((plan.size - plan.steps, *leaf.shape[1:]), leaf.dtype)])
    return _folded(jax.tree.map(pad, _filled(cotangent, whole)), plan)
