"""A gradient whose derivative is in mixed mode: where it is transposed, it is forward over reverse.

Reverse mode over a gradient g(w, c) = df/dw keeps what both passes of the gradient computed. By the symmetry of second
derivatives, what it computes for a cotangent v of g is the derivative of the whole gradient (df/dw, df/dc) along
(v, 0): a tangent pushed through the gradient's own program, which keeps nothing but its inputs (Kemaev et al. 2025,
"Scalable meta-learning via mixed-mode differentiation", ICML, whose rule is a `custom_vjp` and has one reverse pass).

Here the tangent of value and gradient, linear in the tangents of w and c, is one operation with a rule for each of what
JAX does to operations: evaluation, forward mode, transposition and batching. Only the transposition is unlike what JAX
would do by itself, so that every mode and order goes through it.

The symmetry is that of functions. A function with derivatives of its own (`custom_vjp`, and `custom_jvp` other than
those of JAX and of this package) need not have it, and is left to reverse over reverse; so is one that a derivative in
mixed mode does not pass, such as one with a `while_loop` on something else than w.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend import core
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, PyTree

from .closing import closure_convert
from .programs import all_equations

_OURS = tuple(str(folder) + os.sep for folder in (Path(jax.__file__).parent, Path(__file__).parents[1]))


def value_and_grad(f: Callable[[PyTree], Any], plain: Callable[[PyTree], tuple[Any, PyTree]], w: PyTree) -> Any:
    """Value and gradient of `f`, a function to one float, at `w`, a pytree of floats; by `plain` where that must be.

    `plain` gives the same with the derivative that JAX gives it. All arrays that `f` closes over are arguments of the
    derivative too.
    """
    scalar, operands, order, outputs = _flat(f, w)
    if not _is_symmetric(scalar, operands, order):
        return plain(w)
    value, *gradient = _value_and_gradient(scalar, order, len(jax.tree.leaves(w)))(*operands)
    return jax.tree.unflatten(outputs[0], [value]), jax.tree.unflatten(jax.tree.structure(w), gradient)


def is_possible(f: Callable[[PyTree], Any], w: PyTree) -> bool:
    """Whether `value_and_grad` of `f` has a derivative in mixed mode."""
    return _is_symmetric(*_flat(f, w)[:3])


def _flat(f: Callable[[PyTree], Any], w: PyTree) -> tuple[Callable[..., Array], list[Array], list[int], list[Any]]:
    """`f` as a function of arrays, the arrays, those of `w` first in an order of them, and what `f` gives, once run."""
    arrays, static = eqx.partition((closure_convert(f, w), w), eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    operands = [jnp.asarray(leaf) for leaf in leaves]
    outputs = []

    def scalar(*operands: Array) -> Array:
        function, w = eqx.combine(jax.tree.unflatten(structure, operands), static)
        (value,), out = jax.tree.flatten(function(w))
        outputs.append(out)
        return value

    # The weights come last in the pytree, and first among what moves.
    first = len(leaves) - len(jax.tree.leaves(w))
    return scalar, operands, [*range(first, len(operands)), *range(first)], outputs


def _value_and_gradient(scalar: Callable[..., Array], order: Sequence[int], n: int) -> Callable[..., tuple[Array, ...]]:
    """The value of `scalar` and its gradient in the operands `order[:n]`, with the derivative in mixed mode."""

    @jax.custom_jvp
    def evaluate(*operands: Any) -> tuple[Array, ...]:
        moving = sorted(order[:n])
        fixed = [i for i in range(len(operands)) if i not in moving]
        return _whole(scalar, fixed, moving)(*(operands[i] for i in fixed), *(operands[i] for i in moving))

    @partial(evaluate.defjvp, symbolic_zeros=True)
    def _(operands: tuple, tangents: tuple) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        moves = [not isinstance(t, SymbolicZero) and _is_float(x) for x, t in zip(operands, tangents, strict=True)]
        moving = [*order[:n], *(i for i in order[n:] if moves[i])]
        fixed = [i for i in range(len(operands)) if i not in moving]
        inputs = [operands[i] for i in (*fixed, *moving)]
        along = [tangents[i] if moves[i] else jnp.zeros_like(operands[i]) for i in moving]
        program = jax.make_jaxpr(_whole(scalar, fixed, moving))(*inputs)
        return evaluate(*operands), tuple(_tangent.bind(*inputs, *along, program=program, fixed=len(fixed), n=n))

    return evaluate


def _whole(scalar: Callable[..., Array], fixed: Sequence[int], moving: Sequence[int]) -> Callable[..., tuple]:
    """The value of `scalar` and its gradient in all operands that move, as a function of first the fixed ones."""

    def whole(*inputs: Array) -> tuple[Array, ...]:
        def at(*moved: Array) -> Array:
            operands = dict(zip((*fixed, *moving), (*inputs[: len(fixed)], *moved), strict=True))
            return scalar(*(operands[i] for i in range(len(inputs))))

        value, pull = jax.vjp(at, *inputs[len(fixed) :])
        return value, *pull(jnp.ones_like(value))

    return whole


def _is_symmetric(scalar: Callable[..., Array], operands: Sequence[Array], order: Sequence[int]) -> bool:
    """Whether the derivative can be had, and will be right, whichever of the operands move."""
    if any(jnp.issubdtype(x.dtype, jnp.complexfloating) for x in operands):
        return False
    if not all(_keeps_symmetry(equation) for equation in all_equations(jax.make_jaxpr(scalar)(*operands))):
        return False
    moving = [i for i in order if _is_float(operands[i])]
    fixed = [i for i in order if i not in moving]
    whole = _whole(scalar, fixed, moving)
    inputs, moved = [operands[i] for i in fixed], tuple(operands[i] for i in moving)
    try:
        jax.eval_shape(lambda *moved: jax.jvp(partial(whole, *inputs), moved, moved), *moved)
    except (TypeError, ValueError, NotImplementedError):
        return False  # where the function itself is at fault, the plain way says so
    return True


def _keeps_symmetry(equation: Any) -> bool:
    if equation.primitive.name.startswith("custom_vjp"):
        return False
    if equation.primitive.name != "custom_jvp_call":
        return True
    rules = (equation.params["call_jaxpr"].jaxpr.debug_info, equation.params["jvp_jaxpr_fun"].debug_info)
    return all(info.func_src_info.partition(" at ")[2].startswith(_OURS) for info in rules)


def _is_float(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


# The tangent of (value, gradient in the first n that move) along tangents of all that move. Its operands are what is
# fixed, what moves, and the tangents; `program` maps the first two to the value and the gradient in all that moves.
_tangent = core.Primitive("gradient_tangent")
_tangent.multiple_results = True


def _split(operands: Sequence[Any], program: Any, fixed: int) -> tuple[list[Any], list[Any], list[Any]]:
    moving = len(program.in_avals)
    return list(operands[:fixed]), list(operands[fixed:moving]), list(operands[moving:])


@_tangent.def_impl
def _evaluate(*operands: Array, program: Any, fixed: int, n: int) -> list[Array]:
    held, moving, along = _split(operands, program, fixed)
    pushed = jax.jvp(partial(core.jaxpr_as_fun(program), *held), tuple(moving), tuple(along))[1]
    return list(pushed[: 1 + n])


@_tangent.def_abstract_eval
def _shapes(*operands: Any, program: Any, fixed: int, n: int) -> list[Any]:
    return [aval.update(weak_type=False) for aval in program.out_avals[: 1 + n]]


mlir.register_lowering(_tangent, mlir.lower_fun(_evaluate, multiple_results=True))


def _push(primals: Sequence[Array], tangents: Sequence[Any], **how: Any) -> tuple[list[Array], list[Any]]:
    """Linear in the tangents among the operands; in what moves, what JAX makes of the evaluation."""
    inputs = len(how["program"].in_avals)
    total: list[Any] = []
    if any(type(t) is not ad.Zero for t in tangents[inputs:]):
        along = [ad.instantiate_zeros(t) for t in tangents[inputs:]]
        total.append(_tangent.bind(*primals[:inputs], *along, **how))
    moved = [i for i, t in enumerate(tangents[:inputs]) if type(t) is not ad.Zero and _is_float(primals[i])]
    if moved:

        def at(*some: Array) -> list[Array]:
            operands = dict(enumerate(primals)) | dict(zip(moved, some, strict=True))
            return _evaluate(*operands.values(), **how)

        total.append(jax.jvp(at, tuple(primals[i] for i in moved), tuple(tangents[i] for i in moved))[1])
    out = _tangent.bind(*primals, **how)
    return out, [sum(parts[1:], start=parts[0]) for parts in zip(*total, strict=True)]


ad.primitive_jvps[_tangent] = _push


def _transpose(cotangents: Sequence[Any], *operands: Any, program: Any, fixed: int, n: int) -> list[Any]:
    """The derivative of the whole gradient along the gradient's cotangent, and the gradient times the value's."""
    held, moving, along = _split(operands, program, fixed)
    of_value, *of_gradient = (ad.instantiate_zeros(c) for c in cotangents)
    direction = [*of_gradient, *(jnp.zeros_like(x) for x in moving[n:])]
    values, pushed = jax.jvp(partial(core.jaxpr_as_fun(program), *held), tuple(moving), tuple(direction))
    # One value for each member of a batch, if it is a program for one.
    scale = lambda g, t: t + of_value.reshape(of_value.shape + (1,) * (g.ndim - of_value.ndim)).astype(g.dtype) * g
    back = pushed[1:] if type(cotangents[0]) is ad.Zero else map(scale, values[1:], pushed[1:])
    return [None] * (fixed + len(moving)) + [
        c if ad.is_undefined_primal(t) else None for c, t in zip(back, along, strict=True)
    ]


ad.primitive_transposes[_tangent] = _transpose


def _batch(
    operands: Sequence[Array], axes: Sequence[Any], *, program: Any, fixed: int, n: int
) -> tuple[list[Array], list[int]]:
    """The same operation with a program for the batch. What moves is given its copies, for each has its gradient."""
    size = next(x.shape[axis] for x, axis in zip(operands, axes, strict=True) if axis is not None)
    held, moving, along = _split(operands, program, fixed)
    in_front = partial(batching.bdim_at_front, size=size)
    moved = [in_front(x, axis) for x, axis in zip((*moving, *along), axes[fixed:], strict=True)]
    inputs = [*held, *moved[: len(moving)]]
    how = (*axes[:fixed], *(0 for _ in moving))
    batched = jax.make_jaxpr(jax.vmap(core.jaxpr_as_fun(program), in_axes=how))(*inputs)
    out = _tangent.bind(*held, *moved, program=batched, fixed=fixed, n=n)
    return out, [0] * (1 + n)


batching.primitive_batchers[_tangent] = _batch
