"""For test suites: derivatives held against differences, pytrees held against each other."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from ._central_difference import central_difference as central_difference
from ._comparison import Comparison as Comparison
from ._comparison import Verdict as Verdict
from ._comparison import compare_along as compare_along
from .internal import checks, tree
from .internal.mode import Mode, check_mode

Path = tuple[Mode, ...]
"""The modes of one derivative of a higher order, the innermost first."""


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
    order = checks.integer("order", order, 1)
    num_directions = checks.integer("num_directions", num_directions, 1)
    if not modes:
        raise ValueError('`modes` must name at least one of "reverse" and "forward", got none.')
    for mode in modes:
        check_mode("modes", mode)

    floats, rest = eqx.partition(x, eqx.is_inexact_array_like)
    _check_float64("x", jax.eval_shape(lambda x: x, floats))
    floats = jax.tree.map(np.asarray, floats)  # what NumPy draws and moves compiles nothing

    def outputs(floats: PyTree) -> PyTree:
        return eqx.filter(f(eqx.combine(floats, rest)), eqx.is_inexact_array)

    shapes = jax.eval_shape(outputs, floats)
    _check_float64("f(x)", shapes)

    random = np.random.default_rng(np.asarray(jax.random.key_data(jax.random.key(0) if key is None else key)))
    weights = tree.random_unit_direction(random, shapes)
    inner = [tree.random_unit_direction(random, floats) for _ in range(order)]
    paths = list(itertools.product(modes, repeat=order))

    @jax.jit
    def derivatives(floats: PyTree, directions: Sequence[PyTree]) -> dict[Path, Float[Array, ""]]:
        return _derivatives(lambda floats: tree.dot(weights, outputs(floats)), floats, directions, paths)

    if not np.isfinite(float(derivatives(floats, inner)[()])):
        raise AssertionError("f(x) is not finite, so it has no derivative to compare.")

    for level in range(1, order + 1):
        below = (modes[0],) * (level - 1)
        for name, direction in _directions(random, floats, num_directions):
            directions = [*inner[: level - 1], direction, *inner[level:]]

            def along(t: float, direction=direction, directions=directions, below=below) -> Float[np.ndarray, ""]:
                return np.asarray(derivatives(_moved(floats, t, direction), directions)[below])

            found = derivatives(floats, directions)
            values = {
                " over ".join(reversed(path)): float(found[path]) for path in itertools.product(modes, repeat=level)
            }
            compared = compare_along(along, values, rtol=rtol, atol=atol)
            _assert_right(compared, f"derivative of order {level} along {name}", rtol, atol, mode_rtol)


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


def _derivatives(
    f: Callable[[PyTree], Float[Array, ""]], x: PyTree, directions: Sequence[PyTree], paths: Iterable[Path]
) -> dict[Path, Float[Array, ""]]:
    """The derivatives of `f` at `x` in the modes of each path and of what it begins with, and the value.

    A derivative of a higher order is a derivative of the one below, and gives that too: one program for all orders
    compiles in about the time that the highest order takes alone.
    """
    found = {}
    for path in paths:
        last, before = _derivative(f, path, directions)(x)
        found |= {path[:level]: value for level, value in enumerate([*before, last])}
    return found | {(): f(x)}  # not what it is within a derivative, which a custom rule may have made another


def _derivative(
    f: Callable[[PyTree], Float[Array, ""]], path: Path, directions: Sequence[PyTree]
) -> Callable[[PyTree], tuple[Float[Array, ""], tuple[Float[Array, ""], ...]]]:
    """The derivative in the modes of `path`, the first innermost, and those that it is a derivative of."""
    if not path:
        return lambda x: (f(x), ())
    inner, mode, direction = _derivative(f, path[:-1], directions), path[-1], directions[len(path) - 1]

    def derivative(x: PyTree) -> tuple[Float[Array, ""], tuple[Float[Array, ""], ...]]:
        if mode == "forward":
            value, slope, before = jax.jvp(inner, (x,), (direction,), has_aux=True)
        else:
            (value, before), gradient = jax.value_and_grad(inner, has_aux=True)(x)
            slope = tree.dot(gradient, direction)
        return slope, (*before, value)

    return derivative


def _directions(random: np.random.Generator, x: PyTree, number: int) -> Iterator[tuple[str, PyTree]]:
    for i in range(number):
        yield f"random direction {i} of all of x", tree.random_unit_direction(random, x)
    paths, structure = jax.tree_util.tree_flatten_with_path(x)
    if len(paths) == 1:
        return
    zeros = [np.zeros_like(leaf) for _, leaf in paths]
    for i, (path, leaf) in enumerate(paths):
        alone = [*zeros[:i], tree.random_unit_direction(random, leaf), *zeros[i + 1 :]]
        yield f"a random direction of x{jax.tree_util.keystr(path)} alone", jax.tree.unflatten(structure, alone)


def _moved(x: PyTree, t: float, direction: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf, v: np.asarray(leaf + t * v), x, direction)


def _assert_right(
    compared: Comparison, where: str, rtol: int | float, atol: int | float, mode_rtol: int | float
) -> None:
    verdict, mode = compared.judge(rtol=rtol, atol=atol, mode_rtol=mode_rtol, mode_atol=1e-4 * atol)
    if verdict == "ok":
        return
    first, value, difference = next(iter(compared.values)), compared.values[mode], compared.difference
    says = f"{difference!r} (give or take {compared.error:.1e})"
    raise AssertionError(
        {
            "not finite": f"The {where} is {value} in {mode} mode. Look for a square root, norm, logarithm or quotient "
            "at zero: guard its argument, not its result, with jnp.where.",
            "modes differ": f"The {where} is {compared.values[first]!r} in {first} mode and {value!r} in {mode} mode: "
            f"they differ by {_relative(compared.values[first], value)}, more than {mode_rtol:g}. A custom derivative "
            "rule in f is wrong in one of them, or f loses digits.",
            "undecided": f"Central differences cannot judge the {where}, {value!r} in {mode} mode: they say {says}, "
            f"and {rtol * abs(difference) + atol:.1e} was asked for. f has a kink near x, or large rounding errors; "
            "move x or raise rtol.",
            "wrong": f"The {where} is {value!r} in {mode} mode, but central differences say {says}: they differ by "
            f"{_relative(difference, value)}, more than rtol={rtol:g}.",
        }[verdict]
    )


def _relative(reference: float, value: float) -> str:
    return f"{abs(value - reference) / max(abs(reference), 1e-300):.1e} relatively"


def _check_float64(name: str, tree: PyTree) -> None:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    if not leaves:
        raise TypeError(f"`{name}` has no floats, so there is no derivative to compare.")
    for path, leaf in leaves:
        if leaf.dtype != jnp.float64:
            raise TypeError(
                f"`{name}{jax.tree_util.keystr(path)}` is {leaf.dtype}; differences need float64. Switch it on with "
                'jax.config.update("jax_enable_x64", True) and keep the dtype throughout f.'
            )
