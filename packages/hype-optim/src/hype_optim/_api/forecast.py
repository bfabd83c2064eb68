"""`forecast`: what a hypergradient will cost, from compiled programs that are not run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal import html, text
from hype_ad.internal.checks import function, instance
from jaxtyping import Array, Float, PyTree

from .._adjoint.base import AbstractAdjoint, adjoints_in, is_adjoint
from .._adjoint.checkpointed import Checkpointed
from .._adjoint.unrolled import Unrolled
from .._objective import as_scalar
from .._transform.jaxpr import influential, operations
from .._transform.nondifferentiable import NoDerivativeError, has_derivative

EXACT = (Unrolled(), Checkpointed(2), Checkpointed(3), Checkpointed(4))
PLAIN, FORWARD, FORWARD_ALL = "a plain run", "forward mode, one number", "forward mode, all numbers"
_NOTE = "Arithmetic is relative to that of a plain run; memory is by XLA's analysis of compiled programs."


@dataclass(frozen=True)
class ForecastRow:
    """What one way to differentiate costs.

    Attributes:
        name: of the way.
        bytes: the temporary memory of the compiled program, by XLA's own analysis; what goes in and out is not in it.
        time: additions and multiplications relative to those of a plain run. Where steps are so small that other
            things than arithmetic take the time, it is not time.
        exact: whether all operations were counted; there may be more where a loop ends by a condition.
    """

    name: str
    bytes: int
    time: float
    exact: bool


@dataclass(frozen=True)
class Forecast:
    """What `forecast` found; prints as a table.

    Attributes:
        rows: a plain run, reverse mode with each adjoint, and forward mode, for one hyperparameter and for all.
        numbers: how many float hyperparameters the outcome depends on, counting the entries of arrays.
    """

    rows: tuple[ForecastRow, ...]
    numbers: int

    def __getitem__(self, way: str | AbstractAdjoint) -> ForecastRow:
        """The row of an adjoint, or of a name.

        Raises:
            KeyError: if there is none.
        """
        name = _name(way) if isinstance(way, AbstractAdjoint) else way
        rows = {row.name: row for row in self.rows}
        if name not in rows:
            raise KeyError(f"There is no row {name!r}, only {list(rows)}.")
        return rows[name]

    def fastest(self, memory: int | float) -> ForecastRow | None:
        """The fastest way to the whole hypergradient that needs at most `memory` bytes; `None` if there is none."""
        ways = [row for row in self.rows if row.name not in (PLAIN, FORWARD) and row.bytes <= memory]
        return min(ways, key=lambda row: row.time, default=None)

    def __str__(self) -> str:
        """The table."""
        return f"{text.table(*self._table())}\n{_NOTE}"

    def _repr_html_(self) -> str:
        """The same, as a notebook shows it."""
        return html.table(*self._table()) + html.paragraph(_NOTE)

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The head, and the rows."""
        at_least = lambda row: "" if row.exact else "at least "
        cells = [(row.name, text.memory(row.bytes), f"{at_least(row)}{row.time:.2f}") for row in self.rows]
        return (f"hypergradient of {self.numbers:,} numbers", "temporary memory", "arithmetic"), cells


def forecast(f: Callable[[Any], Any], params: PyTree, adjoints: Sequence[AbstractAdjoint] | None = None) -> Forecast:
    """Say what a hypergradient will cost in memory and time, with each adjoint and in forward mode, without running it.

    Each program is compiled, which takes some seconds for each adjoint, and looked at. Memory is what XLA says that
    the program needs besides its inputs and outputs. Time is arithmetic counted in the program before XLA has
    simplified it, relative to that of a plain run: it is about right where steps are large enough to keep the machine
    busy.

    Examples:
        >>> import jax.numpy as jnp
        >>> from hype_optim import Checkpointed, Params, forecast, minimize
        >>> loss = lambda params: minimize(lambda w: jnp.sum(w**2), jnp.ones(3), params).loss
        >>> table = forecast(loss, Params(epochs=50, learning_rate=0.1, silent=True), [Checkpointed()])
        >>> [row.name for row in table.rows]
        ['a plain run', 'Checkpointed(levels=2)', 'forward mode, one number', 'forward mode, all numbers']

    Args:
        f: maps a configuration to a scalar, as in `lambda p: train(model, data, p).loss`.
        params: the configuration: a `Params`, or a pytree with one in it, whose adjoint is replaced by each of
            `adjoints` in turn. In a pytree without, such as a learning rate alone, there is none to replace, and
            reverse mode has one row.
        adjoints: which to compare; if not given, those that give exact derivatives at different costs, and the
            configuration's own. One that has no derivative with respect to some of the floats gets no row. `Reversible`
            is compared where it is named, since it needs a run that it can run backwards.

    Returns:
        A `Forecast`: print it, or ask for its `fastest` within a budget of memory.

    Raises:
        TypeError: if `params` has no float leaf, if `f` is no function or does not give a real scalar, or if `adjoints`
            is no sequence of adjoints.
        ValueError: if the outcome depends on none of the floats of `params`.
        RuntimeError: if XLA does not analyze memory on this machine.
    """
    function("f", f, "a function of a configuration")
    own = adjoints_in(params)
    compared = [*EXACT, *own] if adjoints is None else list(instance("adjoints", adjoints, Sequence, "a list"))
    for adjoint in compared:
        instance("adjoints", adjoint, AbstractAdjoint, "a list of adjoints such as Checkpointed(2)")
    floats, static = eqx.partition(params, eqx.is_inexact_array_like)
    floats = jax.tree.map(jnp.asarray, floats)
    if not jax.tree.leaves(floats):
        raise TypeError(f"`params` must have at least one float leaf, got {params!r}.")

    def objective(adjoint: AbstractAdjoint | None) -> Callable[[PyTree], Float[Array, ""]]:
        replaced = lambda x: adjoint if adjoint and is_adjoint(x) else x
        return lambda floats: as_scalar("f", f(jax.tree.map(replaced, eqx.combine(floats, static), is_leaf=is_adjoint)))

    plain = objective(None)
    program = jax.make_jaxpr(plain)(floats)
    used, (unit, _) = influential(program), operations(program)
    numbers = sum(leaf.size for leaf, needed in zip(jax.tree.leaves(floats), used, strict=True) if needed)
    if numbers == 0:
        raise ValueError("The value of `f` depends on none of the floats of `params`.")

    def look(name: str, program: Callable[..., Any], *args: Any) -> ForecastRow:
        traced = jax.jit(program).trace(*args)
        count, exact = operations(traced.jaxpr)
        analysis = traced.lower().compile().memory_analysis()
        if analysis is None:
            raise RuntimeError(f"XLA does not say how much memory a program needs on {jax.default_backend()}.")
        return ForecastRow(name, analysis.temp_size_in_bytes, count / unit, exact)

    def forward(way: Callable[[PyTree], Float[Array, ""]]) -> ForecastRow:
        try:
            return look(FORWARD, lambda floats, v: jax.jvp(way, (floats,), (v,))[1], floats, floats)
        except NoDerivativeError:  # the configuration's own adjoint has reverse mode only
            return forward(objective(Checkpointed()))

    named = {_name(adjoint): objective(adjoint) for adjoint in compared}
    ways = named if own else {"reverse mode": plain}
    once = forward(plain)
    rows = [look(PLAIN, plain, floats)]
    rows += [look(name, jax.grad(way), floats) for name, way in ways.items() if has_derivative(jax.grad(way), floats)]
    rows += [once, ForecastRow(FORWARD_ALL, once.bytes, numbers * once.time, once.exact)]
    return Forecast(tuple(rows), numbers)


def _name(adjoint: AbstractAdjoint) -> str:
    settings = ", ".join(f"{field.name}={getattr(adjoint, field.name)!r}" for field in fields(adjoint))
    return f"{type(adjoint).__name__}({settings})"
