"""The progress of loops inside of compiled programs: a bar for each run, lines of text, calls of a user's function.

A callback out of a compiled loop costs a fifth of a millisecond, so there are about twenty a run, however long it is.
A run is silent while it is differentiated, and in a batch of runs. One compiled program may run many times and in
several threads at once, so what is known of a run travels through the program with it: when it began, in nanoseconds,
which is its name as well. A run that raises has no end, so each run that begins takes the bars of all others down, and
those that go on put theirs up again with their next report.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, PyTree

if TYPE_CHECKING:
    from tqdm import tqdm  # loaded with the first bar

REPORTS = 20

_BARS: "dict[int, tqdm]" = {}  # by the nanosecond at which the run began
_LOCK = threading.Lock()


@eqx.filter_custom_jvp
def is_plain(inputs: PyTree) -> Bool[Array, ""]:
    """True, and inside of a compiled program false if it is differentiated or batched with respect to `inputs`.

    What a function among them closes over is seen after `closure_convert`. To be asked outside of a
    run: an adjoint may stop gradients at its inputs, so that inside of it no tangent is to be seen.
    """
    return _is_one(*jax.tree.leaves(eqx.filter(inputs, eqx.is_array)))


is_plain.def_jvp(lambda primals, tangents: (jnp.array(False), None))
_is_one = jax.custom_batching.custom_vmap(lambda *inputs: jnp.array(True))
_is_one.def_vmap(lambda size, in_batched, *inputs: (jnp.array(False), False))


def stream() -> Any:
    """The file to write progress to: standard error; in a notebook, which shows that as an error, standard output."""
    in_notebook = type(sys.stderr).__module__.partition(".")[0] == "ipykernel"
    return sys.stdout if in_notebook else sys.stderr


def due(left: Int[Array, ""], total: int, every: int = 1) -> Bool[Array, ""]:
    """Whether to report when `left` of `total` steps are left: at first, at last and about twenty times between.

    `every` is how many steps are made from one question to the next.
    """
    return (left % max(1, total // REPORTS) < every) | (left >= total - every)


def tell(when: Bool[Array, ""], callback: Callable[..., None], *values: PyTree) -> None:
    """Call back from a compiled program if `when` holds."""
    _call_if(when, lambda *values: (jax.debug.callback(callback, *values), ())[1], values, ())


def _call_if(when: Bool[Array, ""], call: Callable[..., PyTree], values: tuple, otherwise: PyTree) -> PyTree:
    """`call(*values)` if `when` holds, else the integers `otherwise`.

    Always those in a batch, where `cond` may run both branches, and in a derivative, whose program is then free of it.
    """
    constant = lambda of_leaf: jax.tree.map(of_leaf, otherwise)
    unbatched = jax.custom_batching.custom_vmap(call)
    unbatched.def_vmap(lambda size, in_batched, *values: (otherwise, constant(lambda _: False)))
    plain = jax.custom_jvp(lambda *values: unbatched(*values))
    plain.defjvp(lambda values, tangents: (otherwise, constant(lambda n: np.zeros(n.shape, jax.dtypes.float0))))
    return lax.cond(when, lambda: plain(*values), lambda: otherwise)


class Bar:
    """The bar of a run; made in the program where the run begins.

    Args:
        total: the number of steps.
        unit: what a step is called.
        loud: whether to show anything.
        title: gives of the values what to write above the bar, if not nothing.
        values: one of them has to depend on where the run starts, or a loop around it may begin all runs at once.
    """

    def __init__(self, total: int, unit: str, loud: Bool[Array, ""], title: Callable[..., str], *values: PyTree):
        self.total, self.unit, self.loud = total, unit, loud
        never = np.zeros(2, np.uint32)  # of NumPy: a rule that has it belongs to no trace
        begin = partial(jax.pure_callback, partial(_begin, title), jax.ShapeDtypeStruct(never.shape, never.dtype))
        self.start = _call_if(loud, begin, values, never)

    def report(
        self, left: Int[Array, ""], label: str, text: Callable[..., str], *values: PyTree, every: int = 1
    ) -> None:
        """Move the bar on, if that is due, with `label` before it and `text(*values)` behind."""

        def show(start: Any, left: Any, *values: Any) -> None:
            with _LOCK:
                self._show(_nanoseconds(start), self.total - int(left), label, text(*values))

        tell(due(left, self.total, every) & self.loud, show, self.start, left, *values)

    def end(self, made: Int[Array, ""], text: Callable[..., str], *values: PyTree) -> None:
        """Close the bar after `made` steps, and write `text(seconds, made, *values)` below, if that is not empty.

        Of the values one has to depend on the last step, or this may come before it.
        """

        def close(start: Any, made: Any, *values: Any) -> None:
            began, made = _nanoseconds(start), int(made)
            with _LOCK:  # in one go, or a run that begins in between takes the bar down
                self._show(began, made)
                _BARS.pop(began).close()
            _write(text((time.perf_counter_ns() - began) / 1e9, made, *values))

        tell(self.loud, close, self.start, made, *values)

    def _show(self, run: int, made: int, label: str = "", text: str | None = None) -> None:
        if run not in _BARS:
            from tqdm import tqdm

            _BARS[run] = tqdm(desc=label, total=self.total, initial=made, unit=self.unit, file=stream())
        bar = _BARS[run]
        if text is not None:
            bar.set_description(label, refresh=False)
            bar.set_postfix_str(text, refresh=False)
        bar.update(made - bar.n)


@contextmanager
def clearing() -> Iterator[None]:
    """Take the bars down at once if an exception ends what is inside."""
    try:
        yield
    except BaseException:
        _take_down()
        raise


def _take_down() -> None:
    with _LOCK:
        for bar in _BARS.values():
            bar.leave = False
            bar.close()
        _BARS.clear()


def _begin(title: Callable[..., str], *values: Any) -> np.ndarray:
    _take_down()
    _write(title(*values))
    return np.array(divmod(time.perf_counter_ns(), 2**32), np.uint32)


def _nanoseconds(start: Any) -> int:
    high, low = map(int, np.asarray(start))
    return high * 2**32 + low


def _write(line: str) -> None:
    if line:
        from tqdm import tqdm

        tqdm.write(line, file=stream())
