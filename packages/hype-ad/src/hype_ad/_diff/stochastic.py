r"""Differential operators estimated from a few random directions, at a cost that does not depend on the dimension.

For random directions v of covariance 1, $\mathbb{E}\, (v \cdot \nabla)^2 f = \Delta f$; with components that are normal
and independent, $\mathbb{E}\, (v \cdot \nabla)^4 f = 3 \Delta^2 f$. Derivatives along each direction are exact, by
Taylor series (Shi et al. 2024, "Stochastic Taylor derivative estimator: efficient amortization for arbitrary
differential operators"). Hutchinson's estimator is the case of second derivatives along random signs; random axes
are the paper's sparse case.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._documentation import like
from .._types.by_rank import in_kind
from ..internal import checks, tree
from ..internal.checks import check_key, integer
from .checks import check_floats, parts, scalar_value, tangent
from .directional import along_line
from .directions import in_batches
from .forms import Function

Directions = Callable[[PRNGKeyArray, PyTree], PyTree]


class Estimate(NamedTuple):
    """An unbiased estimate.

    Args:
        value: the mean over the samples.
        standard_error: the standard deviation of that mean, estimated from the samples, like `value`.
    """

    value: Any
    standard_error: Any


def random_signs(key: PRNGKeyArray, x: PyTree) -> PyTree:
    """A direction like `x` of independent random signs, exact for a function without mixed derivatives."""
    return tree.random_like(jax.random.rademacher, key, x)


def random_normals(key: PRNGKeyArray, x: PyTree) -> PyTree:
    """A direction like `x` of independent standard normal numbers."""
    return tree.random_like(jax.random.normal, key, x)


def random_axes(key: PRNGKeyArray, x: PyTree) -> PyTree:
    """A direction like `x` along one axis, drawn at random, of length √n for n coordinates: what it moves is sparse."""
    size = tree.size(x)
    axis = tree.unit_direction(x, jax.random.randint(key, (), 0, size))
    return jax.tree.map(lambda leaf: leaf * jnp.asarray(size**0.5, leaf.dtype), axis)


def stochastic_diffn(
    n: SupportsIndex, f: Function, directions: Directions, *, num_samples: SupportsIndex = 2
) -> Function:
    r"""Unbiased estimate of the operator $\mathbb{E}\,(v \cdot \nabla)^n f(x)$ for random directions v.

    With n = 2 and directions of covariance A it is $\sum_{ij} A_{ij}\, \partial^2 f / \partial x_i \partial x_j$, the
    second-order part of any diffusion. A sample costs about three evaluations of `f` for n = 2, n²/2 above.

    Args:
        n: order, at least 1.
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to any pytree of floats.
        directions: function of a key and `x` to a random direction like `x`, as `random_signs`, `random_normals` and
            `random_axes` are.
        num_samples: how many directions are drawn, at least 2: their spread gives the error.

    Returns:
        A function of `x` and a keyword `key`, that gives an `Estimate`, a pair of the mean and its standard error in
        the structure and types of f(x). It can be differentiated in any mode, to any order.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, if `n` or `num_samples` is not an integer, if `directions`
            is not a function, or if `key` is not a key.
        ValueError: if `n` is less than 1 or `num_samples` less than 2, if a direction does not have the shape of `x`,
            or if `key` is an array of several keys.
    """
    order, samples = integer("n", n, 1), integer("num_samples", num_samples, 2)
    checks.function("directions", directions, "a function of a key and `x`")

    def estimate(x: PyTree, *, key: PRNGKeyArray) -> Estimate:
        check_floats("x", x)

        def push(key: PRNGKeyArray) -> tuple[None, Any]:
            v = tangent("directions(key, x)", directions(key, x), "x", x)
            return None, along_line(order, f, x, v)[order]

        _, drawn = in_batches(push, jax.random.split(check_key("key", key), samples))
        mean = jax.tree.map(lambda part: jnp.mean(part, axis=0), drawn)
        error = jax.tree.map(lambda part: jnp.std(part, axis=0, ddof=1) / samples**0.5, drawn)
        return Estimate(mean, error)

    return estimate


def stochastic_laplacian(
    f: Function, directions: Directions = random_signs, *, num_samples: SupportsIndex = 2
) -> Function:
    r"""Unbiased estimate of the Laplacian with its standard error, at a cost that does not depend on the dimension.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.
        directions: function of a key and `x` to a random direction of covariance 1: `random_signs`, exact where `f` has
            no mixed derivatives; `random_axes`, exact where all axes are alike; `random_normals`.
        num_samples: how many directions are drawn, at least 2: their spread gives the error.

    Returns:
        A function of `x` and a keyword `key`, that gives an `Estimate`, a pair of the mean and its standard error:
        numbers, of type `D` if `x` or f(x) is a tensor. It can be differentiated in any mode, to any order.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, if `num_samples` is not an integer, if `directions` is not
            a function, or if `key` is not a key.
        ValueError: if f(x) is not one number, if `num_samples` is less than 2, if a direction does not have the shape
            of `x`, or if `key` is an array of several keys.
    """
    return _of_number(2, 1, f, directions, num_samples)


@like(stochastic_laplacian)
def stochastic_biharmonic(f: Function, *, num_samples: SupportsIndex = 2) -> Function:
    r"""Unbiased estimate of the biharmonic operator $\Delta^2 f$, from fourth derivatives along normal directions.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.
        num_samples: how many directions are drawn, at least 2.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, if `num_samples` is not an integer, or if `key` is not a
            key.
        ValueError: if f(x) is not one number, if `num_samples` is less than 2, or if `key` is an array of several keys.
    """
    return _of_number(4, 3, f, random_normals, num_samples)


def _of_number(n: int, moment: int, f: Function, directions: Directions, num_samples: SupportsIndex) -> Function:
    estimate = stochastic_diffn(n, lambda x: scalar_value(f(x)), directions, num_samples=num_samples)

    def number(x: PyTree, *, key: PRNGKeyArray) -> Estimate:
        check_floats("x", x)
        tensors = parts(x)[0]
        return Estimate(*(in_kind(jax.tree.leaves(part)[0] / moment, part, *tensors) for part in estimate(x, key=key)))

    return number
