r"""Estimates of traces and diagonals by random probes.

For probes $v$ of independent signs, $\mathbb{E}\, v^\top A v = \operatorname{tr} A$ (Hutchinson 1990, "A stochastic
estimator of the trace of the influence matrix for Laplacian smoothing splines") and $\mathbb{E}\, v \odot A v =
\operatorname{diag} A$ (Bekas, Kokiopoulou and Saad 2007, "An estimator for the diagonal of a matrix"). Both are exact
for a diagonal A; the variance comes from the rest.
"""

import operator as op
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from .._mode import Mode, check_mode
from .calculus import field
from .diagonal import second_derivative
from .directions import in_batches, inner
from .gradient import value_gradient
from .point import Function, check_floats, dtype, labeled, parts, shape


def hutchinson_laplacian(f: Function, *, num_samples: int = 1) -> Function:
    r"""Unbiased estimate of the Laplacian, $\frac{1}{k} \sum_{s=1}^{k} v_s^\top H(x) v_s$ with random signs $v_s$.

    Costs about three evaluations of `f` for each sample, forward only.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.
        num_samples: how many probes are averaged.

    Returns:
        A function of `x` and a keyword `key`, that gives a number, a `D` if `x` or `f(x)` is a tensor.

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats, or `num_samples` is not an integer.
        ValueError: if `f(x)` is not one number, or `num_samples` is less than 1.
    """
    _check_samples("hutchinson_laplacian", num_samples)

    def estimate(x: PyTree, *, key: Key[Array, ""]) -> Any:
        check_floats("hutchinson_laplacian", "x", x)
        along = second_derivative("hutchinson_laplacian", f, x)
        value, seconds = _probed(along, x, key, num_samples)
        return labeled(jnp.mean(seconds), value, *parts(x)[0])

    return estimate


def hutchinson_div(f: Function, *, num_samples: int = 1) -> Function:
    r"""Unbiased estimate of the divergence, $\frac{1}{k} \sum_{s=1}^{k} v_s^\top J(x) v_s$ with random signs $v_s$.

    Costs about two evaluations of `f` for each sample, forward only. It is what continuous normalizing flows use
    (Grathwohl et al. 2019, "FFJORD").

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a point of the same shape.
        num_samples: how many probes are averaged.

    Returns:
        A function of `x` and a keyword `key`, that gives a number, a `D` if `x` or `f(x)` is a tensor.

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats, or `num_samples` is not an integer.
        ValueError: if `f(x)` does not have the shape of `x`, or `num_samples` is less than 1.
    """
    _check_samples("hutchinson_div", num_samples)

    def estimate(x: PyTree, *, key: Key[Array, ""]) -> Any:
        check_floats("hutchinson_div", "x", x)
        checked = field("hutchinson_div", f, x)

        def along(probe: PyTree) -> tuple[Any, Array]:
            value, derivative = jax.jvp(checked, (x,), (probe,))
            return value, inner(probe, derivative)

        value, traces = _probed(along, x, key, num_samples)
        return labeled(jnp.mean(traces), *parts(x)[0], *parts(value)[0])

    return estimate


def hutchinson_hessian_diag(f: Function, *, num_samples: int = 1, mode: Mode = "reverse") -> Function:
    r"""Unbiased estimate of the Hessian's diagonal, the mean of $v_s \odot H(x) v_s$ over random signs $v_s$.

    Costs one Hessian product for each sample.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.
        num_samples: how many probes are averaged.
        mode: how the inner gradient is taken, see `grad`.

    Returns:
        A function of `x` and a keyword `key`, that gives a pytree of the structure, shapes and types of `x`.

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats, or `num_samples` is not an integer.
        ValueError: if `f(x)` is not one number, `num_samples` is less than 1, or `mode` is unknown.
    """
    _check_samples("hutchinson_hessian_diag", num_samples)
    check_mode("hutchinson_hessian_diag: mode", mode)

    def estimate(x: PyTree, *, key: Key[Array, ""]) -> PyTree:
        check_floats("hutchinson_hessian_diag", "x", x)
        gradient = lambda x: value_gradient("hutchinson_hessian_diag", lambda x: (f(x), None), x, mode)[1]

        def along(probe: PyTree) -> tuple[None, PyTree]:
            _, product = jax.jvp(gradient, (x,), (probe,))
            return None, jax.tree.map(jnp.multiply, probe, product)

        _, diagonals = _probed(along, x, key, num_samples)
        return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), diagonals)

    return estimate


def _probed(
    along: Callable[[PyTree], tuple[Any, Any]], x: PyTree, key: Key[Array, ""], num_samples: int
) -> tuple[Any, Any]:
    return in_batches(lambda k: along(_signs(k, x)), jax.random.split(key, num_samples))


def _signs(key: Key[Array, ""], x: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(x)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure,
        [jax.random.rademacher(k, shape(leaf), dtype(leaf)) for k, leaf in zip(keys, leaves, strict=True)],
    )


def _check_samples(operator: str, num_samples: int) -> None:
    if op.index(num_samples) < 1:
        raise ValueError(f"{operator}: num_samples must be at least 1; got {num_samples}.")
