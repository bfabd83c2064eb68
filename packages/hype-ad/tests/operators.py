"""A curve, a function to one number and a vector field with derivatives written by hand, and all operators on them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np


def array(numbers):
    """A JAX array, for which nothing is compiled."""
    return jnp.asarray(np.array(numbers), float)


X = array([0.7, -1.3, 0.4])
V = array([0.2, 0.5, -1.1])
T = array(0.6)
A = array([[1.0, 2.0, -1.0], [0.5, -0.3, 2.0], [1.5, 0.1, 0.7]])


def scalar(x):
    """exp(x0 x1) + x1 x2^3."""
    return jnp.exp(x[0] * x[1]) + x[1] * x[2] ** 3


x0, x1, x2 = np.asarray(X).tolist()
E = np.exp(x0 * x1)
VALUE = E + x1 * x2**3
GRADIENT = np.array([x1 * E, x0 * E + x2**3, 3 * x1 * x2**2])
MIXED = (1 + x0 * x1) * E
HESSIAN = np.array([[x1**2 * E, MIXED, 0], [MIXED, x0**2 * E, 3 * x2**2], [0, 3 * x2**2, 6 * x1 * x2]])
v = np.asarray(V)


def field(x):
    """(x0 x1^2, sin(x2), x0 x2)."""
    return jnp.stack([x[0] * x[1] ** 2, jnp.sin(x[2]), x[0] * x[2]])


FIELD = np.array([x0 * x1**2, np.sin(x2), x0 * x2])
JACOBIAN = np.array([[x1**2, 2 * x0 * x1, 0], [0, 0, np.cos(x2)], [x2, 0, x0]])
SQUARES = FIELD @ FIELD / 2, JACOBIAN.T @ FIELD, JACOBIAN.T @ JACOBIAN @ v
CURL = np.array([0 - np.cos(x2), 0 - x2, 0 - 2 * x0 * x1])
DIV = x1**2 + 0 + x0


def curve(t):
    """sin(2 t) exp(t), a damped oscillation backwards."""
    return jnp.sin(2 * t) * jnp.exp(t)


def curve_derivative(n):
    """Im (1 + 2i)^n exp((1 + 2i) t)."""
    return ((1 + 2j) ** n * np.exp((1 + 2j) * float(T))).imag


class Case(NamedTuple):
    """`operator(function)(*arguments)` gives `expected`."""

    name: str
    operator: Callable[..., Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    expected: Any


def _cases():
    of_curve = {
        "diff": curve_derivative(1),
        "value_and_diff": (curve_derivative(0), curve_derivative(1)),
        "diff2": curve_derivative(2),
        "value_and_diff2": (curve_derivative(0), curve_derivative(2)),
        "value_and_diff_diff2": tuple(map(curve_derivative, range(3))),
    }
    of_scalar = {
        "grad": GRADIENT,
        "value_and_grad": (VALUE, GRADIENT),
        "hessian": HESSIAN,
        "value_and_hessian": (VALUE, HESSIAN),
        "grad_hessian": (GRADIENT, HESSIAN),
        "value_and_grad_hessian": (VALUE, GRADIENT, HESSIAN),
        "hessian_diag": np.diag(HESSIAN),
        "value_and_hessian_diag": (VALUE, np.diag(HESSIAN)),
        "laplacian": np.trace(HESSIAN),
        "value_and_laplacian": (VALUE, np.trace(HESSIAN)),
    }
    of_scalar_along_v = {
        "gradv": GRADIENT @ v,
        "value_and_gradv": (VALUE, GRADIENT @ v),
        "hvp": HESSIAN @ v,
        "value_and_hvp": (VALUE, HESSIAN @ v),
        "grad_hvp": (GRADIENT, HESSIAN @ v),
        "value_and_grad_hvp": (VALUE, GRADIENT, HESSIAN @ v),
    }
    of_field = {
        "jacobian": JACOBIAN,
        "value_and_jacobian": (FIELD, JACOBIAN),
        "jacobian_t": JACOBIAN.T,
        "value_and_jacobian_t": (FIELD, JACOBIAN.T),
        "div": DIV,
        "value_and_div": (FIELD, DIV),
        "curl": CURL,
        "value_and_curl": (FIELD, CURL),
        "curl_div": (CURL, DIV),
        "value_and_curl_div": (FIELD, CURL, DIV),
    }
    of_field_along_v = {
        "jacobianv": JACOBIAN @ v,
        "value_and_jacobianv": (FIELD, JACOBIAN @ v),
        "jacobian_tv": JACOBIAN.T @ v,
        "value_and_jacobian_tv": (FIELD, JACOBIAN.T @ v),
        "gnvp": SQUARES[2],
        "value_and_gnvp": SQUARES[::2],
        "grad_gnvp": SQUARES[1:],
        "value_and_grad_gnvp": SQUARES,
    }
    for table, function, arguments in [
        (of_curve, curve, (T,)),
        (of_scalar, scalar, (X,)),
        (of_scalar_along_v, scalar, (X, V)),
        (of_field, field, (X,)),
        (of_field_along_v, field, (X, V)),
    ]:
        for name, expected in table.items():
            yield Case(name, getattr(ad, name), function, arguments, expected)
    for name in ("grad", "value_and_grad", "hessian", "value_and_grad_hessian"):
        yield Case(f"{name}, forward", partial(getattr(ad, name), mode="forward"), scalar, (X,), of_scalar[name])
    for name in ("hvp", "value_and_grad_hvp"):
        operator = partial(getattr(ad, name), mode="forward")
        yield Case(f"{name}, forward", operator, scalar, (X, V), of_scalar_along_v[name])
    sparse = {"grad_sparse_hessian": "grad_hessian", "value_and_grad_sparse_hessian": "value_and_grad_hessian"}
    for name, model in {"sparse_hessian": "hessian", "value_and_sparse_hessian": "value_and_hessian", **sparse}.items():
        yield Case(name, partial(getattr(ad, name), dense=True), scalar, (X,), of_scalar[model])
    for name, model in {"sparse_jacobian": "jacobian", "value_and_sparse_jacobian": "value_and_jacobian"}.items():
        yield Case(name, partial(getattr(ad, name), dense=True), field, (X,), of_field[model])
    for name, mode in [("jacobian", "forward"), ("jacobian", "reverse"), ("value_and_jacobian_t", "reverse")]:
        yield Case(f"{name}, {mode}", partial(getattr(ad, name), mode=mode), field, (X,), of_field[name])
    for n in (0, 1, 2, 3, 6):
        both = (curve_derivative(0), curve_derivative(n))
        yield Case(f"diffn {n}", partial(ad.diffn, n), curve, (T,), both[1])
        yield Case(f"value_and_diffn {n}", partial(ad.value_and_diffn, n), curve, (T,), both)
    yield Case("jvp", lambda f: lambda x, v: ad.jvp(f, (x,), (v,)), field, (X, V), (FIELD, JACOBIAN @ v))
    pulled = lambda f: lambda x, v: (lambda value, pull: (value, *pull(v)))(*ad.vjp(f, x))
    yield Case("vjp", pulled, field, (X, V), (FIELD, JACOBIAN.T @ v))


CASES = list(_cases())


def on_tensors(f):
    """`f` as a function from a tensor to a tensor, without any arrays on the way."""
    return lambda x: ad.wrap(f(x.array))


def tensors(tree):
    """`tree` with the type of its rank around each array."""
    return jax.tree.map(ad.wrap, tree)
