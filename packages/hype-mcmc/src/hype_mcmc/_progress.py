"""A progress bar for a run: a few reports a second, and next to no cost.

A callback out of a compiled loop takes a tenth of a millisecond, and one in each of its steps would slow it down
several times. So the steps between two reports are an inner loop, and each report says how many steps the next one
has: as many as fit into a quarter of a second at the pace of the last. Loops whose number of steps is found while
they run have no reverse mode, so a run that is being traced is not reported.
"""

import itertools
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import io_callback
from jaxtyping import Array, Int, PyTree
from tqdm import tqdm

_SECONDS = 0.25  # between reports
_GROWTH = 16  # of the steps from one report to the next: later trajectories may be longer

Carry = TypeVar("Carry")
Result = TypeVar("Result")


class Part(NamedTuple):
    """A part of a run whose steps are reported.

    Attributes:
        ticket: the number of the run. One program serves many runs, so it is an argument.
        name: what the part is called.
        first: transitions made before it.
        every: transitions to a step.
    """

    ticket: Int[Array, ""]
    name: str
    first: int
    every: int


def reported_scan(
    part: Part,
    watch: Callable[[PyTree, Int[Array, ""]], dict[str, Array]],
    f: Callable,
    init: Carry,
    xs: PyTree[Array],
) -> tuple[Carry, PyTree[Array]]:
    """`jax.lax.scan` that reports how far it is; it has no reverse mode.

    With each report comes what `watch` makes of the output after so many steps: zeros where there is none yet.
    """
    length = jax.tree.leaves(xs)[0].shape[0]
    at = lambda i: jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, i, keepdims=False), xs)
    _, y = jax.eval_shape(f, init, at(0))
    ys = jax.tree.map(lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype), y)

    def step(i: Int[Array, ""], loop: tuple[Carry, PyTree]) -> tuple[Carry, PyTree]:
        carry, ys = loop
        carry, y = f(carry, at(i))
        return carry, jax.tree.map(lambda ys, y: lax.dynamic_update_index_in_dim(ys, y, i, 0), ys, y)

    def report(done: Int[Array, ""], carry: Carry, ys: PyTree) -> Int[Array, ""]:
        # Without a number that the steps have made, XLA calls back before it makes them.
        made = jax.tree.leaves(carry)[0].ravel()[0]
        tell = partial(_tell, part.name, part.first, part.every)
        steps = io_callback(tell, jax.ShapeDtypeStruct((), jnp.int32), part.ticket, made, done, watch(ys, done))
        return jnp.clip(done + steps, done + 1, length)

    def some(loop: tuple[Int[Array, ""], Int[Array, ""], tuple[Carry, PyTree]]) -> tuple:
        done, due, inner = loop
        inner = lax.fori_loop(done, due, step, inner)
        return due, report(due, *inner), inner

    zero = jnp.zeros((), jnp.int32)
    return lax.while_loop(lambda loop: loop[0] < length, some, (zero, report(zero, init, ys), (init, ys)))[2]


class _Run:
    """What is known of one run outside of the compiled program."""

    def __init__(self, chains: int, transitions: int):
        self.what = f"{chains} chain{'s' * (chains != 1)}"
        self.bar = tqdm(total=transitions, desc=self.what, unit="transition", file=sys.stderr)
        self.time: float | None = None  # of the last report
        self.pace = 1  # transitions to the next one

    def report(self, name: str, done: int, seen: dict[str, str]) -> int:
        """Move the bar on; how many transitions to make before the next report."""
        now, made = time.perf_counter(), done - self.bar.n
        if self.time is not None and made:
            self.pace = int(made * min(_SECONDS / max(now - self.time, 1e-9), _GROWTH))
        self.time = now
        self.bar.set_description(f"{self.what}, {name}", refresh=False)
        self.bar.set_postfix(seen, refresh=False)
        self.bar.update(made)
        return self.pace


_RUNS: dict[int, _Run] = {}
_TICKETS = itertools.count()


def _tell(name: str, first: int, every: int, ticket: Any, made: Any, done: Any, seen: dict[str, Any]) -> np.ndarray:
    shown = {label: f"{value:.2f}" if value.dtype.kind == "f" else str(value) for label, value in seen.items()}
    pace = _RUNS[int(ticket)].report(name, first + every * int(done), shown)
    return np.array(pace // every, np.int32)


def with_progress(
    program: Callable[..., Result], arguments: tuple, chains: int, transitions: int, silent: bool
) -> Result:
    """What `program` makes of the arguments and a ticket, with a bar that shows how far it is.

    Without bar and ticket (`None`) if the run is silent, or part of a program that is being traced.
    """
    if silent or any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments)):
        return program(*arguments, None)
    ticket = next(_TICKETS) % np.iinfo(np.int32).max
    run = _RUNS[ticket] = _Run(chains, transitions)
    try:
        return jax.block_until_ready(program(*arguments, jnp.asarray(ticket, jnp.int32)))
    finally:
        del _RUNS[ticket]
        run.bar.close()
