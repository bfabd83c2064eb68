"""What a hypergradient will cost, from compiled programs that are not run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal import text
from jaxtyping import Array, Float, PyTree

from .._adjoint.base import AbstractAdjoint
from .._adjoint.exact import EXACT
from .._objective import as_scalar
from .._transform.jaxpr import influential, operations
from .._transform.nondifferentiable import NoDerivativeError

PLAIN, FORWARD, FORWARD_ALL = "a plain run", "forward mode, one number", "forward mode, all numbers"


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
        at_least = lambda row: "" if row.exact else "at least "
        cells = [(row.name, text.memory(row.bytes), f"{at_least(row)}{row.time:.2f}") for row in self.rows]
        lines = text.table((f"hypergradient of {self.numbers:,} numbers", "temporary memory", "arithmetic"), cells)
        return (
            f"{lines}\nArithmetic is relative to that of a plain run; memory is by XLA's analysis of compiled programs."
        )


def forecast(f: Callable[[Any], Any], params: PyTree, adjoints: Sequence[AbstractAdjoint] | None = None) -> Forecast:
    """Say what a hypergradient will cost in memory and time, with each adjoint and in forward mode, without running it.

    Each program is compiled, which takes some seconds for each adjoint, and looked at. Memory is what XLA says that
    the program needs besides its inputs and outputs. Time is arithmetic counted in the program before XLA has
    simplified it, relative to that of a plain run: it is about right where steps are large enough to keep the machine
    busy.

    Args:
        f: maps a configuration to a scalar, as in `lambda p: train(model, data, p).loss`.
        params: the configuration: a `Params`, or a pytree with one in it, whose adjoint is replaced by each of
            `adjoints` in turn. In a pytree without, such as a learning rate alone, there is none to replace, and
            reverse mode has one row.
        adjoints: which to compare; if not given, those that give exact derivatives at different costs, and the
            configuration's own. One that has no derivative with respect to some of the floats gets no row.

    Returns:
        A `Forecast`: print it, or ask for its `fastest` within a budget of memory.

    Raises:
        TypeError: if `params` has no float leaf, or if `f` does not give a real scalar.
        ValueError: if the outcome depends on none of the floats of `params`.
        RuntimeError: if XLA does not analyze memory on this machine.
    """
    floats, rest = eqx.partition(params, eqx.is_inexact_array_like)
    floats = jax.tree.map(jnp.asarray, floats)
    if not jax.tree.leaves(floats):
        raise TypeError(f"`params` must have at least one float leaf, got {params!r}.")

    def objective(adjoint: AbstractAdjoint | None) -> Callable[[PyTree], Float[Array, ""]]:
        return lambda floats: as_scalar("f", f(_with_adjoint(eqx.combine(floats, rest), adjoint)))

    plain = objective(None)
    used = influential(jax.make_jaxpr(plain)(floats))
    numbers = sum(leaf.size for leaf, needed in zip(jax.tree.leaves(floats), used, strict=True) if needed)
    if numbers == 0:
        raise ValueError("The value of `f` depends on none of the floats of `params`.")
    unit = operations(jax.make_jaxpr(plain)(floats))[0]

    def look(name: str, program: Callable[..., Any], *args: Any) -> ForecastRow:
        traced = jax.jit(program).trace(*args)
        count, exact = operations(traced.jaxpr)
        analysis = traced.lower().compile().memory_analysis()
        if analysis is None:
            raise RuntimeError(f"XLA does not say how much memory a program needs on {jax.default_backend()}.")
        return ForecastRow(name, analysis.temp_size_in_bytes, count / unit, exact)

    own = list(filter(_is_adjoint, jax.tree.leaves(params, is_leaf=_is_adjoint)))
    compared = {_name(adjoint): adjoint for adjoint in ((*EXACT, *own) if adjoints is None else adjoints)}
    ways = [(name, objective(adjoint)) for name, adjoint in compared.items()] if own else [("reverse mode", plain)]
    tangent = lambda floats, direction: jax.jvp(plain, (floats,), (direction,))[1]
    once = look(FORWARD, tangent, floats, floats)
    return Forecast(
        (
            look(PLAIN, plain, floats),
            *(look(name, jax.grad(way), floats) for name, way in ways if _is_differentiable(way, floats)),
            once,
            ForecastRow(FORWARD_ALL, once.bytes, numbers * once.time, once.exact),
        ),
        numbers,
    )


def _is_differentiable(objective: Callable[[PyTree], Float[Array, ""]], floats: PyTree) -> bool:
    try:
        jax.eval_shape(jax.grad(objective), floats)
    except NoDerivativeError:
        return False
    return True


def _name(adjoint: AbstractAdjoint) -> str:
    settings = ", ".join(f"{field.name}={getattr(adjoint, field.name)!r}" for field in fields(adjoint))
    return f"{type(adjoint).__name__}({settings})"


def _with_adjoint(params: PyTree, adjoint: AbstractAdjoint | None) -> PyTree:
    return jax.tree.map(lambda x: adjoint if adjoint and _is_adjoint(x) else x, params, is_leaf=_is_adjoint)


def _is_adjoint(x: Any) -> bool:
    return isinstance(x, AbstractAdjoint)
