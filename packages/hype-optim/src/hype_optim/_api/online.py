r"""Learning rates that follow their own gradient while the weights are trained, for any loop written with Optax.

An inner optimizer, built from a rate by a factory such as `optax.adam`, makes the update $u(\alpha)$. Both
transformations differentiate it by forward mode with respect to the rate, so it need not be linear in it. They differ
in how far back they look: hypergradient descent only to the last update, real-time forward hypergradients to the
beginning.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from hype_ad.internal.checks import known
from hype_ad.internal.tree import dot, zeros_like
from jaxtyping import Array, Float, PyTree

from .._hyperparameter.converters import HyperparameterLike, non_negative
from .._hyperparameter.ranges import value_of

Factory = Callable[[Any], optax.GradientTransformation]


class HypergradientDescentState(NamedTuple):
    """The rate, the derivative of the last update with respect to it, and the state of the inner optimizer."""

    rate: Float[Array, ""]
    slope: PyTree
    inner: PyTree


def hypergradient_descent(
    factory: Factory, learning_rate: HyperparameterLike, hyper_rate: HyperparameterLike
) -> optax.GradientTransformation:
    r"""Hypergradient descent (Baydin et al. 2018, "Online learning rate adaptation with hypergradient descent").

    Before each update the rate makes a step against the derivative of the loss with respect to it through the update
    before: $\alpha_t = \alpha_{t-1} - \beta\, g_t \cdot \partial u_{t-1} / \partial \alpha$, which for plain gradient
    descent is $\alpha_{t-1} + \beta\, g_t \cdot g_{t-1}$. It costs one product of gradients, and memory for one more
    copy of the weights. `Params(learning_rate=HypergradientDescent(...))` is the same for `minimize` and `train`.

    Args:
        factory: makes the inner optimizer from a rate, such as `optax.sgd` or `lambda rate: optax.adamw(rate, b1=0.8)`.
        learning_rate: the first rate, at least 0. Differentiable.
        hyper_rate: $\beta$, at least 0. Differentiable.

    Returns:
        An Optax transformation; its state has the current `rate`.

    Raises:
        ValueError: if a rate is a number below 0, or in `init` if the state of the inner optimizer holds the rate.
    """
    first, beta = _rate("learning_rate", learning_rate), _rate("hyper_rate", hyper_rate)

    def init(params: PyTree) -> HypergradientDescentState:
        return HypergradientDescentState(first, zeros_like(params), _first_state(factory, first, params))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, HypergradientDescentState]:
        rate = state.rate - beta * dot(updates, state.slope).astype(first.dtype)
        at = lambda rate: factory(rate).update(updates, state.inner, params)
        step, slope, inner = jax.jvp(at, (rate,), (jnp.ones_like(rate),), has_aux=True)
        return step, HypergradientDescentState(rate, jax.tree.map(lambda x, y: x.astype(y.dtype), slope, step), inner)

    return optax.GradientTransformation(init, update)


class RealTimeState(NamedTuple):
    """The rate, and the weights' derivative with respect to it; the inner optimizer's state, and its derivative."""

    rate: Float[Array, ""]
    tangent: PyTree
    inner: PyTree
    inner_tangent: PyTree


def real_time_hypergradient(
    factory: Factory, learning_rate: HyperparameterLike, hyper_rate: HyperparameterLike
) -> optax.GradientTransformationExtraArgs:
    r"""Real-time forward hypergradients (Franceschi et al. 2017).

    The derivative of the weights with respect to the rate, $Z_t = d w_t / d \alpha$, through all steps since the
    beginning, goes along with the training: a step differentiates the inner optimizer and the gradient (a Hessian
    product) by forward mode. Before each update the rate makes a step against the hypergradient of the moment,
    $\alpha_t = \alpha_{t-1} - \beta\, \nabla E(w_t) \cdot Z_t$ ("Forward and reverse gradient-based hyperparameter
    optimization", section 4.2). It costs about two plain steps, and memory for one more copy of the weights and the
    inner state.

    Its `update(gradient, state, params, grad_fn=..., outer_gradient=...)` takes as `grad_fn` the function from the
    weights to this step's gradient, on the same batch, and as `outer_gradient` $\nabla E$ at `params`, E being what the
    rate is to make small, such as a validation loss; without it, that is the training loss.

    Args:
        factory: makes the inner optimizer from a rate, such as `optax.adam`. Optimizers that take square roots are
            differentiated here, so they must be smooth where gradients vanish: `optax.adam(rate, eps_root=1e-12)`.
        learning_rate: the first rate, at least 0. Differentiable.
        hyper_rate: $\beta$, at least 0. Differentiable.

    Returns:
        An Optax transformation; its state has the current `rate` and the `tangent` $Z$.

    Raises:
        ValueError: if a rate is a number below 0, in `init` if the state of the inner optimizer holds the rate, or in
            `update` if `params` or `grad_fn` is missing.
    """
    first, beta = _rate("learning_rate", learning_rate), _rate("hyper_rate", hyper_rate)

    def init(params: PyTree) -> RealTimeState:
        inner = _first_state(factory, first, params)
        zero_tangent = lambda tree: zeros_like(eqx.filter(tree, eqx.is_inexact_array))
        return RealTimeState(first, zero_tangent(params), inner, zero_tangent(inner))

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree | None = None,
        *,
        grad_fn: Callable[[PyTree], PyTree] | None = None,
        outer_gradient: PyTree | None = None,
        **extra_args: Any,
    ) -> tuple[PyTree, RealTimeState]:
        if params is None or grad_fn is None:
            raise ValueError(
                "real_time_hypergradient: `update` needs `params` and `grad_fn`, a function from the weights to the "
                "gradient of this step."
            )
        outer = updates if outer_gradient is None else outer_gradient
        rate = state.rate - beta * dot(outer, state.tangent).astype(first.dtype)
        _, gradient_tangent = jax.jvp(grad_fn, (params,), (state.tangent,))
        moving, fixed = eqx.partition(state.inner, eqx.is_inexact_array)

        # By JAX's `jvp` and not Equinox's, which has None for a derivative of zero: a state must keep its structure.
        def step(params: PyTree, gradient: PyTree, moving: PyTree, rate: Any) -> tuple[tuple[PyTree, PyTree], PyTree]:
            step, inner = factory(rate).update(gradient, eqx.combine(moving, fixed), params)
            moving, static = eqx.partition(inner, eqx.is_inexact_array)
            return (step, moving), static

        at = params, updates, moving, rate
        tangents = state.tangent, gradient_tangent, state.inner_tangent, jnp.ones_like(rate)
        (updates, moving), (updates_tangent, inner_tangent), static = jax.jvp(step, at, tangents, has_aux=True)
        tangent = jax.tree.map(lambda z, u: (z + u).astype(z.dtype), state.tangent, updates_tangent)
        return updates, RealTimeState(rate, tangent, eqx.combine(moving, static), inner_tangent)

    return optax.GradientTransformationExtraArgs(init, update)


def _first_state(factory: Factory, rate: Float[Array, ""], params: PyTree) -> PyTree:
    """The first state of an inner optimizer; a ValueError if it holds the rate, which then would never change."""
    floats = lambda rate: eqx.filter(factory(rate).init(params), eqx.is_inexact_array)
    derivative = jax.jvp(floats, (rate,), (jnp.ones_like(rate),))[1]
    if any(known(leaf) and np.any(leaf) for leaf in jax.tree.leaves(derivative)):
        raise ValueError(
            "`factory` must make an optimizer that gets its rate from `factory` in each step. The state of this one "
            "holds the first rate, as with `optax.inject_hyperparams`: leave that out."
        )
    return factory(rate).init(params)


def _rate(name: str, given: HyperparameterLike) -> Float[Array, ""]:
    return value_of(non_negative(name, single=True)(given))
