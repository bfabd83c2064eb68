r"""The forward Laplacian: value, gradient and Laplacian of a function, pushed together through its traced program.

Each value u on the way has its Jacobian J with respect to the n coordinates and its Laplacian L, the sum of the second
derivatives along them. Where y = g(u), the chain rule for second derivatives says

$$ J_y = g'(u)\, J, \qquad L_y = g'(u)\, L + \sum_{i=1}^{n} g''(u)[J_i, J_i] $$

(Li et al. 2024, "A computational framework for neural network-based variational Monte Carlo with forward Laplacian").
A linear operation acts on both as on values; for one that acts on each entry by itself the sum is g'' times the squared
length of the gradient; for a product it is twice the inner product of the two Jacobians. All g' and g'' are JAX's own
rules, so that nothing is without one: of an operation that is none of these, forward mode over forward mode gives the
sum, direction by direction.

What does not depend on the coordinates is computed as it is, and Jacobians of what depends on few of them are kept as
such (`local_jacobian.py`): the one after a first dense layer is its matrix of weights.
"""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var
from jaxtyping import Array, Float

from . import forward_loops, pointwise
from .jets import Jet, Value, broadcast, constant, size_of, value_of
from .local_dot import dot, inner
from .local_jacobian import LocalJacobian, aligned, concatenated, identity
from .local_moves import NAMES, moved
from .programs import (
    BILINEAR,
    CALLS,
    LINEAR,
    Apply,
    as_function,
    called,
    dtype_of,
    is_float,
    needed,
    replaced,
    shape_of,
)


def derivatives(
    program: ClosedJaxpr, leaves: Sequence[Float[Array, "..."]]
) -> tuple[Array, Float[Array, " size"], Array]:
    """(value, gradient, Laplacian) of a program from arrays, the coordinates, to one number.

    A TooLarge if the Jacobian of a value on the way takes too much memory.
    """
    size, first = sum(leaf.size for leaf in leaves), 0
    arguments = []
    for leaf in leaves:
        arguments.append(Jet(leaf, identity(leaf, first, size), jnp.zeros_like(leaf)))
        first += leaf.size
    (out,) = _run(program, arguments)
    value, jacobian, laplacian = out if isinstance(out, Jet) else constant(out, size)
    return value, jacobian.dense().entries, laplacian


def _run(program: ClosedJaxpr, arguments: Sequence[Value]) -> list[Value]:
    jaxpr = program.jaxpr
    values: dict[Var, Value] = dict(
        zip([*jaxpr.constvars, *jaxpr.invars], [*map(_known, program.consts), *arguments], strict=True)
    )
    read = lambda atom: np.asarray(atom.val, dtype_of(atom)) if isinstance(atom, Literal) else values[atom]
    for equation in needed(jaxpr):
        outputs = _step(equation, as_function(jaxpr, equation), [read(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _step(equation: JaxprEqn, apply: Apply, inputs: Sequence[Value]) -> Sequence[Value]:
    name = equation.primitive.name
    places = [i for i, value in enumerate(inputs) if isinstance(value, Jet)]
    if not places or name in pointwise.CONSTANT or not any(map(is_float, equation.outvars)):
        return _plain(equation, apply, [value_of(value) for value in inputs])
    if name in _CALLS:
        return _CALLS[name](_run, equation, inputs)
    function = _Function(equation, apply, inputs, places)
    if name in _RULES and not function.is_complex:
        return _RULES[name](function)
    if _is_straight(name, places, inputs):
        return function.linear([jet.jacobian.dense() for jet in function.jets])
    if not function.is_complex and pointwise.is_pointwise(equation, function.of_jets, function.values):
        return _pointwise(function)
    return _general(function)


def _is_straight(name: str, places: Sequence[int], inputs: Sequence[Value]) -> bool:
    """Whether second derivatives vanish: in what is linear, or moves entries to places that depend on all of them."""
    if name in BILINEAR:
        return len(places) == 1
    return name in _SORTS or (name in LINEAR and set(places).issubset(range(len(inputs))[LINEAR[name]]))


def _plain(equation: JaxprEqn, apply: Apply, inputs: Sequence[Any]) -> Sequence[Any]:
    """What does not depend on the coordinates; small arrays of integers that are known may be indices, and stay so."""
    known = all(isinstance(value, np.ndarray) for value in inputs) and equation.primitive.name not in _LOOPS
    if not known or any(is_float(atom) or math.prod(shape_of(atom)) > _SMALL for atom in equation.outvars):
        return apply(*inputs)
    with jax.ensure_compile_time_eval():
        return list(map(_known, apply(*inputs)))


def _known(value: Any) -> Any:
    concrete = isinstance(value, jax.Array) and not isinstance(value, Tracer)
    return np.asarray(value) if concrete and value.size <= _SMALL and value.dtype.kind in "iub" else value


class _Function:
    """An equation as a function of those of its inputs that depend on the coordinates."""

    def __init__(self, equation: JaxprEqn, apply: Apply, inputs: Sequence[Value], places: Sequence[int]):
        self.equation = equation
        self.inputs = inputs
        self.places = places
        self.jets: list[Jet] = [value for value in inputs if isinstance(value, Jet)]
        self.values = tuple(jet.value for jet in self.jets)
        self.apply = _with_forward_mode(apply) if equation.primitive.name == "custom_vjp_call" else apply
        self.shape = shape_of(equation.outvars[0])

    @property
    def is_complex(self) -> bool:
        """Whether some input that depends on the coordinates, or some output, is complex."""
        return any(
            dtype.kind == "c" for dtype in [v.dtype for v in self.values] + list(map(dtype_of, self.equation.outvars))
        )

    def of_jets(self, *changed: Array) -> Sequence[Array]:
        """The outputs."""
        return self.apply(*replaced(list(map(value_of, self.inputs)), self.places, changed))

    def floats(self, *changed: Array) -> list[Array]:
        """The outputs that are floats."""
        outputs = self.of_jets(*changed)
        return [out for out, atom in zip(outputs, self.equation.outvars, strict=True) if is_float(atom)]

    def outputs(self, jets: Sequence[Jet]) -> Sequence[Value]:
        """All outputs, those that are floats given with their derivatives."""
        if len(jets) == len(self.equation.outvars):
            return list(jets)
        rest = iter(jets)
        plain = zip(self.of_jets(*self.values), self.equation.outvars, strict=True)
        return [next(rest) if is_float(atom) else out for out, atom in plain]

    def linear(self, jacobians: Sequence[LocalJacobian], index: Any = None) -> Sequence[Value]:
        """The outputs where second derivatives vanish, from Jacobians with the same slots."""
        values, push = jax.linearize(self.floats, *self.values)
        entries = jax.vmap(push)(*[jacobian.entries for jacobian in jacobians])
        laplacians = push(*[jet.laplacian for jet in self.jets])
        pushed = [LocalJacobian(part, index, jacobians[0].size) for part in entries]
        return self.outputs([Jet(*parts) for parts in zip(values, pushed, laplacians, strict=True)])


def _pointwise(function: _Function) -> Sequence[Value]:
    """A function of corresponding entries of its inputs."""
    jets = [broadcast(jet, function.shape) for jet in function.jets]
    values = tuple(jet.value for jet in jets)
    jacobians = aligned([jet.jacobian for jet in jets])
    of_jets = lambda *u: function.of_jets(*u)[0]
    firsts, seconds = pointwise.partials(of_jets, values)
    entries = _sum(first[None] * jacobian.entries for first, jacobian in zip(firsts, jacobians, strict=True))
    laplacian = _sum(first * jet.laplacian for first, jet in zip(firsts, jets, strict=True))
    for (i, j), second in seconds.items():
        products = jnp.sum(jacobians[i].entries * jacobians[j].entries, axis=0)
        laplacian += second * (products if i == j else 2 * products)
    return [Jet(of_jets(*values), LocalJacobian(entries, jacobians[0].index, jacobians[0].size), laplacian)]


def _straight(function: _Function) -> Sequence[Value]:
    """A function of corresponding entries whose second derivatives vanish."""
    jets = [broadcast(jet, function.shape) for jet in function.jets]
    inputs = replaced(function.inputs, function.places, jets)
    jacobians = aligned([jet.jacobian for jet in jets])
    return _Function(function.equation, function.apply, inputs, function.places).linear(jacobians, jacobians[0].index)


def _moved(function: _Function) -> Sequence[Value]:
    """The entries of one array at other positions."""
    jacobian = function.jets[0].jacobian
    index = moved(function.equation, jacobian.index, function.inputs)
    return function.linear([jacobian if index is not None else jacobian.dense()], index)


def _concatenated(function: _Function) -> Sequence[Value]:
    size, axis = size_of(function.jets), function.equation.params["dimension"]
    jets = [value if isinstance(value, Jet) else constant(value, size) for value in function.inputs]
    jacobian = concatenated([jet.jacobian for jet in jets], int(axis))
    value, laplacian = (lax.concatenate(part, axis) for part in ([j.value for j in jets], [j.laplacian for j in jets]))
    return [Jet(value, jacobian, laplacian)]


def _summed(function: _Function) -> Sequence[Value]:
    (jet,) = function.jets
    (value,), (laplacian,) = function.of_jets(jet.value), function.of_jets(jet.laplacian)
    return [Jet(value, jet.jacobian.summed(function.equation.params["axes"]), laplacian)]


def _dot(function: _Function) -> Sequence[Value]:
    """A product of two arrays, linear in each."""
    a, b = function.inputs
    params = function.equation.params
    product = lambda a, b: function.apply(a, b)[0]
    jacobians, laplacians = [], []
    if isinstance(a, Jet):
        jacobians.append(dot(a.jacobian, value_of(b), params, 0))
        laplacians.append(product(a.laplacian, value_of(b)))
    if isinstance(b, Jet):
        jacobians.append(dot(b.jacobian, value_of(a), params, 1))
        laplacians.append(product(value_of(a), b.laplacian))
    if isinstance(a, Jet) and isinstance(b, Jet):
        laplacians.append(2 * inner(a.jacobian, b.jacobian, params))
    jacobians = aligned(jacobians)
    entries = _sum(jacobian.entries for jacobian in jacobians)
    jacobian = LocalJacobian(entries, jacobians[0].index, jacobians[0].size)
    return [Jet(product(value_of(a), value_of(b)), jacobian, _sum(laplacians))]


def _sum(terms: Iterable[Array]) -> Array:
    return reduce(operator.add, terms)


def _general(function: _Function) -> Sequence[Value]:
    """Any function, by forward mode over forward mode along each coordinate."""
    values = function.values

    def along(*direction: Array) -> tuple[list[Any], list[Any]]:
        first = lambda *u: jax.jvp(function.floats, u, direction)[1]
        return jax.jvp(first, values, direction)

    jacobians = [jet.jacobian.dense() for jet in function.jets]
    firsts, seconds = jax.vmap(along)(*[jacobian.entries for jacobian in jacobians])
    out, pushed = jax.jvp(function.floats, values, tuple(jet.laplacian for jet in function.jets))
    jets = [
        Jet(value, LocalJacobian(first, None, jacobians[0].size), straight + jnp.sum(second, axis=0))
        for value, first, second, straight in zip(out, firsts, seconds, pushed, strict=True)
    ]
    return function.outputs(jets)


def _with_forward_mode(apply: Apply) -> Apply:
    """A function that has a rule for reverse mode alone, given the rule for forward mode that it implies.

    What a rule for reverse mode computes is linear in the cotangents; its transpose takes tangents forward.
    """

    def is_differentiable(value: Any) -> bool:
        return jnp.issubdtype(jnp.result_type(value), jnp.inexact)

    @jax.custom_jvp
    def function(*inputs: Array) -> Sequence[Array]:
        return apply(*inputs)

    @function.defjvp
    def rule(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        places = [i for i, value in enumerate(primals) if is_differentiable(value)]
        out, pull = jax.vjp(lambda *changed: apply(*replaced(primals, places, changed)), *[primals[i] for i in places])
        push = jax.linear_transpose(pull, out)
        (pushed,) = push(tuple(tangents[i] for i in places))
        return out, pushed

    return function


_CALLS = {
    **dict.fromkeys(CALLS, lambda run, equation, inputs: run(called(equation), inputs)),
    **dict.fromkeys(("checkpoint", "remat2"), forward_loops.checkpointed),
    "scan": forward_loops.scan,
}
_SORTS = {"cummax", "cummin", "reduce_max", "reduce_min", "sort"}
_LOOPS = {"cond", "scan", "while"}
_SMALL = 2**16
_RULES: dict[str, Callable[[_Function], Sequence[Value]]] = {
    **dict.fromkeys(pointwise.SMOOTH, _pointwise),
    **dict.fromkeys(pointwise.STRAIGHT, _straight),
    **dict.fromkeys(NAMES, _moved),
    "concatenate": _concatenated,
    "dot_general": _dot,
    "reduce_sum": _summed,
}
