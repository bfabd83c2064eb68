"""Reverse mode that keeps no states: a run in fixed-point integers that is run backwards (Maclaurin et al. 2015).

The run is handed a momentum that shows the step it is given. The scan here adds that step to integers, which is exact,
and hands the run the floats that they stand for, so all else in a step is the run's own. On the way back the same
program computes the step from the weights before. That undoes it bit for bit, so that the momentum knows the velocity
before, too, and the step can be differentiated there.
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
from hype_ad.internal.tree import add, all_finite, zeros_like
from jax import lax
from jaxtyping import Array, Bool, PyTree

from .._run.status import Status
from .._transform import fixed_point
from .._transform.fixed_point import DENOMINATOR, Exact
from .._transform.nondifferentiable import nondifferentiable
from .._transform.reverse_only import reverse_only
from .base import AbstractAdjoint, Load, Run, Solution, Step, number_of_steps
from .reversible_limits import FORWARD, SECOND, check_invertible, is_ours, warn_of_end, warn_of_mismatch
from .reversible_step import Later, Moves, ReversibleMomentum, differentiated, floats_of

LOADED = 32
"""At most so many steps read their batches at once."""


class Reversible(AbstractAdjoint):
    r"""Exact, for first derivatives in reverse mode, which keeps `-log2(least_momentum)` bits for each weight and step.

    For `GD` and other methods that remember nothing, with `Momentum` and a rate that remembers nothing. The weights and
    the velocity are integers, multiples of $2^{-b}$ and $2^{-b-16}$, and the momentum is a multiple of $2^{-16}$ (at
    0.9999 that may change its distance from 1 by 8%); what its multiplication would drop is kept (Maclaurin, Duvenaud &
    Adams 2015, "Gradient-based hyperparameter optimization through reversible learning"). So the reverse pass runs the
    training backwards to where it began, bit for bit, and computes each step again on the way. In a step the weights
    differ by less than $2^{1-b}$ from those of exact arithmetic with that momentum.

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
        momentum = ReversibleMomentum(jax.tree.map(_nearest, decay), self.fraction_bits)
        params = eqx.tree_at(lambda p: p.momentum, params, momentum)

        def scan(step: Step, init: PyTree, xs: PyTree, load: Load) -> tuple[PyTree, PyTree]:
            init = _join(init, init.w, init.memory.momentum.source)
            plan = _plan(number_of_steps(xs), fixed_point.steps_per_word(self.least_momentum), self.fraction_bits)
            padded = jax.tree.map(lambda leaf: leaf[jnp.minimum(jnp.arange(plan.size), plan.steps - 1)], xs)
            xs = _folded(padded, plan)
            first = jax.tree.map(lambda leaf: leaf[0, 0], xs)
            load = closure_convert(load, first)
            x = jax.eval_shape(lambda first: jax.tree.map(lambda leaf: leaf[0], load(first)), first)
            known = _join(init, init.w, Moves(init.w, init.w, init.w))
            later = Later(fixed_point.encode(init.w, init.w, plan.bits), numerators, large_enough)
            sought = _join(init, init.w, Moves(init.w, init.w, later))
            steps = closure_convert(step, known, x), closure_convert(step, sought, x)
            moving, fixed = eqx.partition((*steps, load, init), eqx.is_inexact_array)
            return _run(reverse_only(moving, FORWARD), fixed, (xs, numerators, large_enough), plan)

        none = zeros_like(state.w)  # of the kind that the steps make of it
        return Solution(*run(scan, _join(state, state.w, Moves(none, none, state.memory.momentum)), params))


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


def _start(
    moving: PyTree, fixed: PyTree, large_enough: Bool[Array, ""], plan: _Plan
) -> tuple[Step, Step, Load, PyTree, Exact]:
    there, back, load, init = eqx.combine(moving, fixed)
    exact = fixed_point.encode(init.w, init.memory.momentum, plan.bits)
    return there, back, load, init, eqx.tree_at(lambda e: e.lost, exact, exact.lost | ~large_enough)


def _forward(moving: PyTree, fixed: PyTree, inputs: PyTree, plan: _Plan, perturbed: PyTree = None) -> tuple[Any, Any]:
    """The run; and if it is to be differentiated, with what is `perturbed`, what the way back needs."""
    xs, numerators, large_enough = inputs
    step, _, load, init, exact = _start(moving, fixed, large_enough, plan)
    none = zeros_like(init.w)
    init = _ended(init, ~large_enough, Status.SMALL_MOMENTUM)
    init = _ended(init, exact.lost, _reason(exact.lost, (init.w, init.memory.momentum)))

    def make(carry: tuple[PyTree, Exact], x: PyTree) -> tuple[Any, Any]:
        rest, exact = carry
        w, v = fixed_point.decode(exact, none, plan.bits)
        before = _join(rest, w, Moves(none, none, v))
        if perturbed is None:
            state, y = step(before, x)
        else:
            (state, y), _, lost = differentiated(step, perturbed[0], before, x, exact.lost)
            exact = eqx.tree_at(lambda e: e.lost, exact, lost)
        added = state.memory.momentum.added
        after, made = fixed_point.advance(exact, added, numerators, plan.bits, state.running)
        state = _ended(state, after.lost, _reason(after.lost, added))
        undoing = None if perturbed is None else _Undoing(_with_known(rest, None, None), made, exact.lost)
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
        return (_ended(rest, exact.lost, Status.OUT_OF_RANGE), exact), (made, None if perturbed is None else words)

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
    return _forward(moving, fixed, inputs, plan)[0]


@_run.def_fwd
def _run_fwd(perturbed: PyTree, moving: PyTree, fixed: PyTree, inputs: PyTree, plan: _Plan) -> tuple[Any, Any]:
    return _forward(moving, fixed, inputs, plan, perturbed)


@_run.def_bwd
def _run_bwd(
    kept: PyTree, cotangent: PyTree, perturbed: PyTree, moving: PyTree, fixed: PyTree, inputs: PyTree, plan: _Plan
) -> PyTree:
    kept, moving, cotangent = nondifferentiable((kept, moving, cotangent), SECOND)
    exact, undoing, words = kept
    xs, numerators, large_enough = inputs
    there, step, load, init, start = _start(moving, fixed, large_enough, plan)
    none = zeros_like(init.w)
    of_step, of_load = (eqx.filter(*pair) for pair in zip(moving[1:3], perturbed[1:3], strict=True))
    reads = bool(jax.tree.leaves(of_load))

    def back(carry: PyTree, x: PyTree, undoing: _Undoing, of_y: PyTree) -> tuple[PyTree, PyTree]:
        exact, of_state, of_consts = carry
        exact = fixed_point.weights_before(exact, undoing.made, undoing.lost)
        w, _ = fixed_point.decode(exact, none, plan.bits)
        # The best weights so far are passed on or not; a derivative does not depend on what they are.
        moves = Moves(none, none, Later(exact, numerators, undoing.made))
        before = _with_known(_join(undoing.rest, w, moves), w, init.key)
        (state, _), pull, lost = differentiated(step, perturbed[1], before, x, undoing.lost)
        added = state.memory.momentum.added
        exact = eqx.tree_at(lambda e: e.lost, exact, lost)
        exact = fixed_point.velocity_before(exact, added, numerators, plan.bits, undoing.made)
        moves = moves._replace(change=of_state.memory.momentum)
        consts, (of_state, of_x) = pull((floats_of(_join(of_state, of_state.w, moves))[0], of_y))
        of_state = _join(of_state, of_state.w, of_state.memory.momentum.change)
        return (exact, of_state, add(of_consts, consts)), of_x if reads else None

    def maybe(carry: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
        is_one, *rest = inputs
        skip = lambda carry, *rest: (carry, _zeros(jax.eval_shape(back, carry, *rest)[1]))
        return lax.cond(is_one, back, like(back, skip), carry, *rest)

    def part(carry: PyTree, inputs: PyTree) -> tuple[PyTree, None]:
        (exact, of_state, consts, of_loads), (xs, *rest) = carry, inputs
        x, pull = load(xs), jax.vjp(lambda of_load: floats_of(eqx.combine(of_load, load)(xs))[0], of_load)[1]
        are_some, undoing, of_y = rest
        carry, of_x = lax.scan(maybe, (exact, of_state, consts), (are_some, x, undoing, of_y), reverse=True)
        return (*carry, add(of_loads, pull(of_x)[0]) if reads else of_loads), None

    def word(carry: PyTree, inputs: PyTree) -> tuple[PyTree, None]:
        (exact, *others), (words, *rest) = carry, inputs
        return lax.scan(part, (fixed_point.take_back(exact, words), *others), tuple(rest), reverse=True)

    of_end, of_ys = cotangent
    of_state = _filled(of_end, floats_of(init)[0])
    of_ys = _filled_ys(of_ys, there, init, load, xs, plan)
    carry = (exact, of_state, zeros_like(of_step), zeros_like(of_load))
    carry, _ = lax.scan(word, carry, (words, xs, _are_some(plan), undoing, of_ys), reverse=True)
    exact, *gradient = carry
    arrived = fixed_point.same(exact, start)
    lax.cond(arrived, lambda: None, lambda: jax.debug.callback(warn_of_mismatch, arrived))
    factor = jnp.where(arrived, 1, jnp.nan)
    of_init, of_step, of_load = jax.tree.map(lambda leaf: factor.astype(leaf.dtype) * leaf, tuple(gradient))
    return jax.tree.map(lambda _: None, moving[0]), of_step, of_load, of_init


def _filled(cotangent: PyTree, tree: PyTree) -> PyTree:
    """Zeros where a cotangent is left out."""
    fill = lambda leaf, c: None if leaf is None else jnp.zeros_like(leaf) if c is None else c
    return jax.tree.map(fill, tree, cotangent, is_leaf=lambda x: x is None)


def _filled_ys(cotangent: PyTree, step: Step, init: PyTree, load: Load, xs: PyTree, plan: _Plan) -> PyTree:
    first = lambda xs: jax.tree.map(lambda leaf: leaf[0], load(jax.tree.map(lambda leaf: leaf[0, 0], xs)))
    _, y = jax.eval_shape(lambda: step(_join(init, init.w, Moves(init.w, init.w, init.w)), first(xs)))
    is_float = lambda leaf: jnp.issubdtype(leaf.dtype, jnp.inexact)
    whole = jax.tree.map(lambda y: jax.ShapeDtypeStruct((plan.steps, *y.shape), y.dtype), eqx.filter(y, is_float))
    pad = lambda leaf: jnp.concatenate([leaf, jnp.zeros((plan.size - plan.steps, *leaf.shape[1:]), leaf.dtype)])
    return _folded(jax.tree.map(pad, _filled(cotangent, whole)), plan)
