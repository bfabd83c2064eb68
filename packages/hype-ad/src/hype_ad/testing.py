"""For test suites: derivatives held against differences, pytrees held against each other."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from ._central_difference import central_difference as central_difference
from ._mode import Mode, check_mode

Path = tuple[Mode, ...]  # the modes of one derivative of a higher order, the innermost first


def assert_derivatives_match(
    f: Callable[[Any], Any],
    x: PyTree,
    *,
    order: int = 1,
    modes: Sequence[Mode] = ("reverse", "forward"),
    rtol: int | float = 1e-6,
    atol: int | float = 1e-9,
    mode_rtol: int | float = 1e-10,
    key: Key[Array, ""] | None = None,
    num_directions: int = 2,
) -> None:
    r"""Assert that the derivatives of `f` at `x` are what differences of `f` say, in every mode.

    Directional derivatives $u^\top J(x) v$ along random unit directions $v$ (weighted over the outputs by a random unit
    $u$) are computed in each mode and compared with extrapolated central differences, and the modes with each other.
    The directions are `num_directions` that move all of `x`, and one for each leaf alone, lest a large derivative hide
    a small wrong one. Derivatives of a higher order are taken in every succession of modes (forward over reverse, ...)
    and compared with differences of the exact derivative one order below.

    Args:
        f: function from a pytree to a pytree, smooth around `x`. Outputs that are not floats are not looked at.
        x: the point. Its floats must be float64 (Python floats are); leaves that are not floats are left alone.
        order: highest order of derivative that is compared; all below it are compared too.
        modes: which of "reverse" and "forward" to compare. A function with a `while_loop` inside has no reverse mode.
        rtol: accepted difference to the central differences, relative to them.
        atol: accepted difference to the central differences where the derivative vanishes; between modes a
            ten-thousandth of it.
        mode_rtol: accepted relative difference between the modes.
        key: draws the directions; always the same ones if not given.
        num_directions: how many directions that move all leaves.

    Raises:
        AssertionError: if a derivative is not finite or disagrees, saying which and by how much; or if the differences
            did not settle to `rtol`, so that they prove nothing.
        TypeError: if a float of `x` or of `f(x)` is not float64, or if there is none.
        ValueError: if `order` or `num_directions` is less than 1, or `modes` names no or unknown modes.
    """
    if order < 1:
        raise ValueError(f"order is the highest order of derivative to compare, at least 1; got {order}.")
    if num_directions < 1:
        raise ValueError(f"num_directions must be at least 1; got {num_directions}.")
    if not modes:
        raise ValueError('modes must name at least one of "reverse" and "forward"; got none.')
    for mode in modes:
        check_mode("modes", mode)

    floats, rest = eqx.partition(x, _is_float)
    _check_float64("x", jax.tree.map(jnp.asarray, floats))
    floats = jax.tree.map(np.asarray, floats)  # what NumPy draws and moves compiles nothing

    def outputs(floats: PyTree) -> PyTree:
        return eqx.filter(f(eqx.combine(floats, rest)), eqx.is_inexact_array)

    shapes = jax.eval_shape(outputs, floats)
    _check_float64("f(x)", shapes)

    def weighted(floats: PyTree, weights: PyTree) -> Float[Array, ""]:
        return _dot(weights, outputs(floats))

    # all derivatives of an order in one program, which compiles faster than one for each
    paths = [list(itertools.product(modes, repeat=level)) for level in range(order + 1)]
    derivatives = [jax.jit(_derivatives(weighted, level)) for level in paths]

    random = np.random.default_rng(np.asarray(jax.random.key_data(jax.random.key(0) if key is None else key)))
    weights = _unit_direction(random, shapes)
    if not np.isfinite(float(derivatives[0](floats, weights)[0])):
        raise AssertionError("f(x) is not finite, so it has no derivative to compare.")

    inner = [_unit_direction(random, floats) for _ in range(order)]
    for level in range(1, order + 1):
        along = inner[: level - 1]
        for name, direction in _directions(random, floats, num_directions):
            found = derivatives[level](floats, weights, *along, direction)
            values = dict(zip(paths[level], map(float, found), strict=True))
            where = f"derivative of order {level} along {name}"
            _assert_finite(values, where)
            _assert_modes_agree(values, where, mode_rtol, 1e-4 * atol)

            def moved(t: float, level=level, along=along, direction=direction) -> Float[np.ndarray, ""]:
                return np.asarray(derivatives[level - 1](_axpy(t, direction, floats), weights, *along)[0])

            difference, error = central_difference(moved, rtol=0.05 * rtol, atol=0.05 * atol)
            _assert_differences_agree(values, where, float(difference), error, rtol, atol)


def tree_allclose(a: PyTree, b: PyTree, rtol: int | float = 1e-5, atol: int | float = 1e-8) -> bool:
    """Whether two pytrees have the same structure, shapes, dtypes and, up to a tolerance, values.

    Args:
        a: one pytree. JAX and NumPy arrays, keys, numbers and whatever else can be compared by `==`.
        b: the other; its floats are the reference for `rtol`.
        rtol: accepted difference of two floats relative to `b`.
        atol: accepted difference of two floats, added to that.

    Returns:
        True or False. NaN is close to nothing; an array never equals a Python number, float32 never float64.
    """
    leaves_a, structure_a = jax.tree.flatten(a)
    leaves_b, structure_b = jax.tree.flatten(b)
    return structure_a == structure_b and all(
        _leaf_allclose(left, right, rtol, atol) for left, right in zip(leaves_a, leaves_b, strict=True)
    )


def _leaf_allclose(a: Any, b: Any, rtol: int | float, atol: int | float) -> bool:
    if not (_is_array(a) and _is_array(b)):
        return type(a) is type(b) and _close(np.asarray(a), np.asarray(b), rtol, atol)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return _close(np.asarray(a), np.asarray(b), rtol, atol)


def _close(a: np.ndarray, b: np.ndarray, rtol: int | float, atol: int | float) -> bool:
    if jnp.issubdtype(a.dtype, jnp.inexact):
        return np.allclose(a.astype(np.complex128), b.astype(np.complex128), rtol=rtol, atol=atol)
    return np.array_equal(a, b)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic))


def _derivatives(f: Callable[..., Float[Array, ""]], paths: list[Path]) -> Callable[..., list[Float[Array, ""]]]:
    return lambda *arguments: [_derivative(f, path)(*arguments) for path in paths]


def _derivative(f: Callable[..., Float[Array, ""]], path: Path) -> Callable[..., Float[Array, ""]]:
    """(x, weights, *directions) -> the directional derivative in the modes of `path`, the first innermost."""
    if not path:
        return f
    inner, mode = _derivative(f, path[:-1]), path[-1]

    def derivative(x: PyTree, weights: PyTree, *directions: PyTree) -> Float[Array, ""]:
        *before, direction = directions
        at = lambda x: inner(x, weights, *before)
        return jax.jvp(at, (x,), (direction,))[1] if mode == "forward" else _dot(jax.grad(at)(x), direction)

    return derivative


def _directions(random: np.random.Generator, x: PyTree, number: int) -> Iterator[tuple[str, PyTree]]:
    for i in range(number):
        yield f"random direction {i} of all of x", _unit_direction(random, x)
    paths, structure = jax.tree_util.tree_flatten_with_path(x)
    if len(paths) == 1:
        return
    zeros = [np.zeros_like(leaf) for _, leaf in paths]
    for i, (path, leaf) in enumerate(paths):
        alone = [*zeros[:i], _unit_direction(random, leaf), *zeros[i + 1 :]]
        yield f"a random direction of x{jax.tree_util.keystr(path)} alone", jax.tree.unflatten(structure, alone)


def _unit_direction(random: np.random.Generator, like: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(like)
    drawn = [np.asarray(random.normal(size=leaf.shape)) for leaf in leaves]
    norm = max(np.sqrt(sum(np.vdot(leaf, leaf) for leaf in drawn)), 1e-300)
    return jax.tree.unflatten(structure, [np.asarray(leaf / norm) for leaf in drawn])


def _assert_finite(values: dict[Path, float], where: str) -> None:
    for path, value in values.items():
        if not np.isfinite(value):
            raise AssertionError(
                f"The {where} is {value} in {_spell(path)} mode. Look for a square root, norm, logarithm or quotient "
                "at zero: guard its argument, not its result, with jnp.where."
            )


def _assert_modes_agree(values: dict[Path, float], where: str, rtol: int | float, atol: int | float) -> None:
    (path, value), *others = values.items()
    for other, another in others:
        if abs(value - another) > rtol * abs(value) + atol:
            raise AssertionError(
                f"The {where} is {value!r} in {_spell(path)} mode and {another!r} in {_spell(other)} mode: "
                f"they differ by {_relative(value, another)}, more than {rtol:g}. A custom derivative rule in f is "
                "wrong in one of them, or f loses digits."
            )


def _assert_differences_agree(
    values: dict[Path, float], where: str, difference: float, error: float, rtol: int | float, atol: int | float
) -> None:
    allowed = rtol * abs(difference) + atol
    for path, value in values.items():
        if abs(value - difference) > allowed + (0.0 if error <= allowed else error):
            raise AssertionError(
                f"The {where} is {value!r} in {_spell(path)} mode, but central differences say {difference!r} "
                f"(give or take {error:.1e}): they differ by {_relative(difference, value)}, more than rtol={rtol:g}."
            )
    if not error <= allowed:
        raise AssertionError(
            f"Central differences cannot judge the {where}: they say {difference!r} give or take {error:.1e}, "
            f"and {allowed:.1e} was asked for. f has a kink near x, or large rounding errors; move x or raise rtol."
        )


def _spell(path: Path) -> str:
    return " over ".join(reversed(path))


def _relative(reference: float, value: float) -> str:
    return f"{abs(value - reference) / max(abs(reference), 1e-300):.1e} relatively"


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, float) or eqx.is_inexact_array_like(leaf)


def _check_float64(name: str, tree: PyTree) -> None:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    if not leaves:
        raise TypeError(f"{name} has no floats, so there is no derivative to compare.")
    for path, leaf in leaves:
        if leaf.dtype != jnp.float64:
            raise TypeError(
                f"{name}{jax.tree_util.keystr(path)} is {leaf.dtype}; differences need float64. Switch it on with "
                'jax.config.update("jax_enable_x64", True) and keep the dtype throughout f.'
            )


def _dot(a: PyTree, b: PyTree) -> Float[Array, ""]:
    return sum(map(jnp.vdot, jax.tree.leaves(a), jax.tree.leaves(b)), start=jnp.zeros((), jnp.float64))


def _axpy(t: float, direction: PyTree, x: PyTree) -> PyTree:
    return jax.tree.map(lambda v, leaf: np.asarray(leaf + t * v), direction, x)
