"""Forward Laplacians of loops and of calls whose values reverse mode computes anew.

`run` evaluates a program on values with derivatives.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, JaxprEqn

from .jets import Jet, Value, constant, flat, size_of
from .local_jacobian import LocalJacobian
from .programs import called, scan_counts

Run = Callable[[ClosedJaxpr, Sequence[Value]], list[Value]]


def checkpointed(run: Run, equation: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
    """A call whose values, and with them their derivatives, are computed anew in reverse mode."""
    arrays, rebuilt = flat(inputs)
    rebuild = []

    def program(arrays: list[Any]) -> list[Any]:
        outputs, rebuilt_outputs = flat(run(called(equation), rebuilt(arrays)))
        rebuild.append(rebuilt_outputs)
        return outputs

    params = equation.params
    outputs = jax.checkpoint(program, prevent_cse=params["prevent_cse"], policy=params["policy"])(arrays)
    return rebuild[-1](outputs)


def scan(run: Run, equation: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
    """A scan, of which those parts of the carry have derivatives that come to depend on the coordinates."""
    params = equation.params
    constants, carries = scan_counts(equation)
    first, last = constants, constants + carries
    consts, start, rows = inputs[:first], inputs[first:last], inputs[last:]
    size = size_of(inputs)
    changing = [isinstance(value, Jet) for value in start]
    becomes: list[bool] = []

    def step(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        outputs = run(params["jaxpr"], [*consts, *_unpacked(carry, size), *_unpacked(x, size)])
        becomes[:] = [isinstance(value, Jet) for value in outputs[: len(start)]]
        kept = [_packed(value, size, kept) for value, kept in zip(outputs[: len(start)], changing, strict=True)]
        return kept, [_packed(value, size) for value in outputs[len(start) :]]

    xs = [_rows(_packed(value, size), 1, 0) for value in rows]
    first_row = lambda part: part[0] if params["length"] else jnp.zeros(part.shape[1:], part.dtype)
    row = jax.eval_shape(lambda: jax.tree.map(first_row, xs))
    while True:
        carry = [_packed(value, size, kept) for value, kept in zip(start, changing, strict=True)]
        jax.eval_shape(step, carry, row)
        grown = [kept or become for kept, become in zip(changing, becomes, strict=True)]
        if grown == changing:
            break
        changing[:] = grown
    carry, ys = lax.scan(step, carry, xs, params["length"], params["reverse"], params["unroll"])
    return [*_unpacked(carry, size), *_unpacked([_rows(y, 0, 1) for y in ys], size)]


def _packed(value: Value, size: int, changing: bool = False) -> Any:
    """A triple of arrays; a value without derivatives as it is, unless it has some elsewhere in the loop."""
    if not isinstance(value, Jet):
        if not changing:
            return value
        value = constant(value, size)
    return value.value, value.jacobian.dense().entries, value.laplacian


def _unpacked(values: Sequence[Any], size: int) -> list[Value]:
    return [Jet(v[0], LocalJacobian(v[1], None, size), v[2]) if isinstance(v, tuple) else v for v in values]


def _rows(packed: Any, source: int, destination: int) -> Any:
    """With the axis that is scanned over moved in the Jacobian."""
    if not isinstance(packed, tuple):
        return packed
    value, entries, laplacian = packed
    return value, jnp.moveaxis(entries, source, destination), laplacian
