"""`fixed_point` with Anderson acceleration: what plain iteration gives, in fewer steps, as theory says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import Anderson, D, fixed_point
from hype_ad.testing import assert_derivatives_match, tree_allclose

N = 12
BASIS = np.linalg.qr(np.random.default_rng(0).normal(size=(N, N)))[0]
SLOW = BASIS @ np.diag(np.linspace(0, 0.96, N)) @ BASIS.T
RIGHT = np.random.default_rng(1).normal(size=N)


def affine(a, b):
    return SLOW @ a + b


def neural(a, b):
    return jnp.tanh(b["m"] @ a + b["v"])


POINT = {"m": 0.9 * SLOW[:4, :4], "v": RIGHT[:4]}


def gmres(steps):
    """The point of the Krylov space of so many products with the least residual of (I - M) x = b."""
    if steps == 0:
        return np.zeros(N)
    basis = np.stack([np.linalg.matrix_power(SLOW, k) @ RIGHT for k in range(steps)], axis=1)
    return basis @ np.linalg.lstsq((np.eye(N) - SLOW) @ basis, RIGHT, rcond=None)[0]


@pytest.mark.smoke
def test_fewer_steps_to_the_same_solution():
    run = lambda acceleration: fixed_point(affine, jnp.zeros(N), RIGHT, acceleration=acceleration)
    plain, short, whole = jax.jit(lambda: [run(a) for a in (None, Anderson(5), Anderson(N))])()
    exact = np.linalg.solve(np.eye(N) - SLOW, RIGHT)
    for result in (plain, short, whole):
        assert result.converged
        np.testing.assert_allclose(result.value, exact, rtol=1e-9)
    assert plain.steps > 500
    assert 8 * short.steps < plain.steps
    assert whole.steps <= N + 2  # GMRES has it after as many steps as there are unknowns


def test_a_step_is_that_of_gmres_where_nothing_is_forgotten():
    run = lambda steps: fixed_point(affine, jnp.zeros(N), RIGHT, max_steps=steps, acceleration=Anderson(N)).value
    numbers = (1, 2, 3, 6)
    for steps, found in zip(numbers, jax.jit(lambda: list(map(run, numbers)))(), strict=True):
        expected = affine(gmres(steps - 1), RIGHT)  # Walker & Ni 2011, theorem 2.2
        np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.slow
def test_derivatives_are_those_of_the_solution():
    f = lambda b: fixed_point(neural, jnp.zeros(4), b, acceleration=Anderson(3)).value
    assert_derivatives_match(f, POINT, order=2, mode_rtol=1e-9)
    plain = lambda b: fixed_point(neural, jnp.zeros(4), b).value
    assert tree_allclose(*jax.jit(lambda b: (jax.jacrev(f)(b), jax.jacrev(plain)(b)))(POINT), rtol=1e-8)


def test_what_plain_iteration_leaves_is_found():
    run = lambda b: fixed_point(lambda a, b: b - 1.5 * a, jnp.array(1.0), b, acceleration=Anderson())
    result, slope = jax.jit(lambda b: (run(b), jax.grad(lambda b: run(b).value)(b)))(2.0)
    assert result.converged
    np.testing.assert_allclose([result.value, slope], [0.8, 0.4])


def test_pytrees_of_two_precisions_side_by_side():
    # each element of a batch counts its own steps; one of them starts at its solution
    start = {"x": jnp.zeros(2, jnp.float16), "y": D(0.5)}

    def g(a, b):
        return {"x": 0.5 * a["x"] + 1, "y": b * a["y"].array + 0.25}

    run = jax.vmap(lambda b: fixed_point(g, start, b, tolerance=1e-3, acceleration=Anderson(2)))
    result = jax.jit(run)(np.array([0.5, -0.9]))
    assert result.converged.all()
    assert result.value["x"].dtype == jnp.float16
    np.testing.assert_allclose(result.value["x"], 2, rtol=2e-3)
    np.testing.assert_allclose(result.value["y"].array, [0.5, 0.25 / 1.9], rtol=1e-3)


def test_no_solution_is_none_still():
    run = lambda b: fixed_point(lambda a, b: a + 1 + b, jnp.array(0.0), b, acceleration=Anderson())
    result, slope = jax.jit(lambda b: (run(b), jax.grad(lambda b: run(b).value)(b)))(0.0)
    assert not result.converged
    assert np.isnan(slope)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"^`depth` must be at least 1, got 0"):
        Anderson(0)
    with pytest.raises(TypeError, match=r"^`depth` must be an integer|parameter 'depth'"):
        Anderson(1.5)
    with pytest.raises(TypeError, match=r"^`acceleration` must be Anderson\(\), or None|parameter 'acceleration'"):
        fixed_point(affine, jnp.zeros(N), RIGHT, acceleration=5)
