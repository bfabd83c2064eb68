r"""Hutchinson's estimators: unbiased estimates of traces and diagonals by random probe vectors.

For probes $v$ of independent signs, $\mathbb{E}\, v^\top A v = \operatorname{tr} A$ (Hutchinson 1990, "A stochastic
estimator of the trace of the influence matrix for Laplacian smoothing splines") and $\mathbb{E}\, v \odot A v =
\operatorname{diag} A$ (Bekas, Kokiopoulou and Saad 2007, "An estimator for the diagonal of a matrix"). Both are exact
for a diagonal A; the variance comes from the rest.
"""

from collections.abc import Callable
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._types.by_rank import in_kind
from ..internal.checks import check_key, integer
from ..internal.mode import Mode, check_mode
from .checks import check_floats, parts, value_like
from .directions import along_direction, in_batches, inner
from .forms import Function
from .gradient import value_gradient
from .stochastic import random_signs


def hutchinson_laplacian(f: Function, *, num_samples: SupportsIndex = 1) -> Function:
    r"""Unbiased estimate of the Laplacian, $\frac{1}{k} \sum_{s=1}^{k} v_s^\top H(x) v_s$ with random signs $v_s$.

    Costs about three evaluations of `f` for each sample, forward only.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.
        num_samples: how many probes are averaged.

    Returns:
        A function of `x` and a keyword `key`, that gives a number, a `D` if `x` or f(x) is a tensor.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, if `num_samples` is not an integer, or if `key` is not a
            key.
        ValueError: if f(x) is not one number, if `num_samples` is less than 1, or if `key` is an array of several keys.
    """
    samples = integer("num_samples", num_samples, 1)

    def estimate(x: PyTree, *, key: PRNGKeyArray) -> Any:
        check_floats("x", x)
        value, (_, seconds) = _probed(along_direction(f, x), x, key, samples)
        return in_kind(jnp.mean(seconds), value, *parts(x)[0])

    return estimate


def hutchinson_div(f: Function, *, num_samples: SupportsIndex = 1) -> Function:
    r"""Unbiased estimate of the divergence, $\frac{1}{k} \sum_{s=1}^{k} v_s^\top J(x) v_s$ with random signs $v_s$.

    Costs about two evaluations of `f` for each sample, forward only. It is what continuous normalizing flows use
    (Grathwohl et al. 2019, "FFJORD").

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a point of the same shape.
        num_samples: how many probes are averaged.

    Returns:
        A function of `x` and a keyword `key`, that gives a number, a `D` if `x` or f(x) is a tensor.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, if `num_samples` is not an integer, or if `key` is not a
            key.
        ValueError: if f(x) does not have the shape of `x`, if `num_samples` is less than 1, or if `key` is an array of
            several keys.
    """
    samples = integer("num_samples", num_samples, 1)

    def estimate(x: PyTree, *, key: PRNGKeyArray) -> Any:
        check_floats("x", x)

        def along(probe: PyTree) -> tuple[Any, Array]:
            value, derivative = jax.jvp(lambda point: value_like(f(point), x), (x,), (probe,))
            return value, inner(probe, derivative)

        value, traces = _probed(along, x, key, samples)
        return in_kind(jnp.mean(traces), *parts(x)[0], *parts(value)[0])

    return estimate


def hutchinson_hessian_diag(f: Function, *, num_samples: SupportsIndex = 1, mode: Mode = "reverse") -> Function:
    r"""Unbiased estimate of the Hessian's diagonal, the mean of $v_s \odot H(x) v_s$ over random signs $v_s$.

    Costs one Hessian product for each sample.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.
        num_samples: how many probes are averaged.
        mode: how the inner gradient is taken, see `grad`.

    Returns:
        A function of `x` and a keyword `key`, that gives a pytree of the structure, shapes and types of `x`.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, if `num_samples` is not an integer, or if `key` is not a
            key.
        ValueError: if f(x) is not one number, if `num_samples` is less than 1, if `mode` is unknown, or if `key` is an
            array of several keys.
    """
    samples = integer("num_samples", num_samples, 1)
    check_mode("mode", mode)

    def estimate(x: PyTree, *, key: PRNGKeyArray) -> PyTree:
        check_floats("x", x)
        gradient = lambda x: value_gradient(lambda x: (f(x), None), x, mode)[1]

        def along(probe: PyTree) -> tuple[None, PyTree]:
            _, product = jax.jvp(gradient, (x,), (probe,))
            return None, jax.tree.map(jnp.multiply, probe, product)

        _, diagonals = _probed(along, x, key, samples)
        return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), diagonals)

    return estimate


def _probed(along: Callable[[PyTree], tuple[Any, Any]], x: PyTree, key: PRNGKeyArray, samples: int) -> tuple[Any, Any]:
    """What `along` gives along probes of random signs, as `in_batches`."""
    return in_batches(lambda k: along(random_signs(k, x)), jax.random.split(check_key("key", key), samples))
