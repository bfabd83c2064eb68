"""Where a run is before its first step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match, tree_allclose
from hype_optim import LBFGS, Adam, Box, Momentum, Params, first_state, minimize

START = {"a": np.array([1.0, -2.0]), "b": np.array(0.5)}


def bowl(w):
    return jnp.sum((w["a"] - 3 * w["b"]) ** 2) + w["b"] ** 4


@pytest.mark.parametrize(
    "params",
    [
        pytest.param(Params(3, learning_rate=0.1, momentum=Momentum(0.5), silent=True), marks=pytest.mark.slow),
        pytest.param(Params(3, learning_rate=Adam(0.1), silent=True), marks=pytest.mark.slow),
        pytest.param(Params(3, method=LBFGS(2), silent=True), marks=pytest.mark.slow),
        Params(3, learning_rate=0.1, constraint=Box(0.0, 1.0), silent=True),
    ],
    ids=["momentum", "adam", "lbfgs", "box"],
)
def test_a_run_from_it_is_a_run_from_the_beginning(params):
    plain, begun = minimize(bowl, START, params), minimize(bowl, START, params, state=first_state(bowl, START, params))
    assert tree_allclose(begun.w, plain.w, rtol=0.0, atol=0.0)
    assert tree_allclose(begun.state, plain.state, rtol=0.0, atol=0.0)


@pytest.mark.slow
def test_a_scan_of_single_steps_is_one_run_with_its_derivatives():
    def one(rate):
        return Params(1, learning_rate=rate, momentum=Momentum(0.5), return_best=False, silent=True)

    def online(rate):
        step = lambda state, _: (minimize(bowl, START, one(rate), state=state).state, None)
        state, _ = jax.lax.scan(step, first_state(bowl, START, one(rate)), None, 4)
        return jnp.sum(state.w["a"] ** 2)

    def whole(rate):
        params = Params(4, learning_rate=rate, momentum=Momentum(0.5), return_best=False, silent=True)
        return jnp.sum(minimize(bowl, START, params).w["a"] ** 2)

    np.testing.assert_allclose(*jax.jit(lambda rate: (jax.grad(online)(rate), jax.grad(whole)(rate)))(0.05), rtol=1e-12)
    assert_derivatives_match(online, jnp.array(0.05), num_directions=1)


def test_what_is_refused():
    with pytest.raises(TypeError, match="`w0` must have at least one leaf of floats"):
        first_state(bowl, jnp.arange(2))
    with pytest.raises(ValueError, match="`where` must choose at least one leaf of floats of `w0`"):
        first_state(bowl, START, where={"a": False, "b": False})
