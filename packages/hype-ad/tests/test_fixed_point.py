import equinox as eqx
import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, Anderson, D, fixed_point
from hype_ad.testing import assert_derivatives_match, tree_allclose

A = np.array([[0.3, -0.2, 0.1], [0.25, 0.1, 0.3], [-0.1, 0.2, 0.15]])
B = np.array([1.0, -0.5, 2.0])


def heron(a, b):
    return (a + b / a) / 2


def affine(a, b):
    return b["m"] @ a + b["v"]


def neural(a, b):
    return jnp.tanh(b["m"] @ a + b["v"])


POINT = {"m": A, "v": B}


@pytest.mark.smoke
def test_square_root():
    # Heron's step is Newton's, so its own derivative at the solution is zero: the easiest of linear equations
    result = fixed_point(heron, 1.0, 2.0)
    assert result.converged
    assert result.steps < 8
    assert np.allclose(result.value, np.sqrt(2.0), rtol=1e-15)
    root = lambda b: fixed_point(heron, jnp.array(1.0), b).value
    third = jax.jit(lambda b: (ad.diff(ad.diff2(root))(b), ad.diffn(3, root)(b), jax.grad(jax.grad(jax.grad(root)))(b)))
    assert np.allclose(third(2.0), 0.375 * 2**-2.5, rtol=1e-10)


def test_affine_map_is_a_linear_solve():
    result = jax.jit(lambda b: fixed_point(affine, jnp.zeros(3), b))(POINT)
    assert result.converged
    assert np.allclose(result.value, np.linalg.solve(np.eye(3) - A, B), rtol=1e-11)
    assert result.change <= 2e-12 * 4
    ours = lambda b: fixed_point(affine, jnp.zeros(3), b).value
    reverse, forward = jax.jit(lambda b: (jax.jacrev(ours)(b), jax.jacfwd(ours)(b)))(POINT)
    inverse = np.linalg.inv(np.eye(3) - A)
    expected = {"m": np.einsum("ij,k->ijk", inverse, inverse @ B), "v": inverse}
    assert tree_allclose(reverse, expected, rtol=1e-9)
    assert tree_allclose(forward, expected, rtol=1e-9)


def test_derivatives_of_first_and_second_order_in_all_modes():
    f = lambda b: fixed_point(neural, jnp.zeros(3), b).value
    assert_derivatives_match(f, POINT, order=2, mode_rtol=1e-9)


@pytest.mark.slow
def test_derivatives_under_vmap():
    f = lambda b: jnp.sum(jnp.sin(fixed_point(neural, jnp.zeros(3), b).value))
    both = lambda b: (ad.grad(f)(b), ad.hvp(f)(b, b))
    pair = jax.tree.map(lambda leaf: jnp.stack([0.1 * leaf, leaf]), POINT)
    results = jax.jit(jax.vmap(both))(pair)
    assert tree_allclose(jax.tree.map(lambda leaf: leaf[1], results), jax.jit(both)(POINT), rtol=1e-10)


def test_each_element_of_a_batch_counts_its_own_steps():
    run = lambda b: fixed_point(lambda a, b: b * a + 1.0, jnp.array(0.0), b)
    result, alone = jax.jit(lambda b: (jax.vmap(run)(b), run(b[0])))(np.array([0.1, 0.9, 1.5]))
    first, second, _ = result.steps.tolist()
    assert first == int(alone.steps) < second
    assert result.converged.tolist() == [True, True, False]
    assert np.allclose(np.asarray(result.value)[:2], [1 / 0.9, 10.0])


def test_values_that_g_closes_over():
    f = lambda b: fixed_point(lambda a, _: jnp.tanh(b["m"] @ a + b["v"]), jnp.zeros(3), None).value
    g = lambda b: fixed_point(neural, jnp.zeros(3), b).value
    expected, reverse, forward = jax.jit(lambda b: (jax.jacrev(g)(b), jax.jacrev(f)(b), jax.jacfwd(f)(b)))(POINT)
    assert tree_allclose(reverse, expected, rtol=1e-12)
    assert tree_allclose(forward, expected, rtol=1e-9)


def test_no_derivative_in_the_start():
    f = lambda a0: fixed_point(neural, a0, POINT).value
    forward, reverse = jax.jit(lambda a0: (jax.jacfwd(f)(a0), jax.jacrev(f)(a0)))(np.ones(3))
    assert np.all(np.asarray(forward) == 0)
    assert np.all(np.asarray(reverse) == 0)


def test_tensors_and_pytrees():
    # x = M x + s y and y = tanh(x . x) / 10, coupled
    def g(a, b):
        x, y = a["x"], a["y"]
        return {"x": b["m"] @ x + b["s"] * y * DV(jnp.ones(2)), "y": D(jnp.tanh((x @ x).array)) / 10 + 1.0}

    b = {"m": DM([[0.2, 0.1], [0.0, 0.3]]), "s": D(0.5), "name": "not a number", "count": 3}
    a0 = {"x": DV([0.0, 0.0]), "y": D(0.0)}
    result = eqx.filter_jit(fixed_point)(g, a0, b)
    assert isinstance(result.value["x"], DV)
    assert isinstance(result.value["y"], D)
    assert tree_allclose(eqx.filter_jit(g)(result.check(), b), result.value, rtol=1e-11)

    def value(floats):
        return jax.tree.leaves(fixed_point(g, a0, b | floats).value)

    assert_derivatives_match(value, {"m": b["m"], "s": b["s"]}, mode_rtol=1e-9)


@pytest.mark.slow
def test_inside_each_other():
    # the inner one gives cos(b a) a + ... as a function of the outer iterate
    inner = lambda a, b: fixed_point(lambda z, c: 0.5 * jnp.sin(z) + c, a, 0.3 * a + b).value
    f = lambda b: fixed_point(inner, jnp.array(0.5), b).value
    assert_derivatives_match(f, 0.2, order=2, modes=("reverse",), num_directions=1)


def test_memory_of_reverse_mode_does_not_grow_with_the_steps():
    def f(b, steps):
        return jnp.sum(fixed_point(lambda a, b: 0.999 * jnp.sin(a) + b, jnp.zeros(1000), b, max_steps=steps).value)

    def memory(steps):
        compiled = jax.jit(jax.grad(f), static_argnums=1).lower(jnp.ones(1000), steps).compile()
        analysis = compiled.memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert memory(10_000) == memory(10)


def test_single_precision():
    run = lambda b: fixed_point(heron, np.float32(1.0), b)
    result = jax.jit(run)(np.float32(2.0))
    assert result.converged
    assert result.value.dtype == jnp.float32
    assert jax.eval_shape(jax.grad(lambda b: run(b).value), np.float32(2.0)).dtype == jnp.float32


class TestNoSolution:
    def test_too_few_steps(self):
        result = jax.jit(lambda b: fixed_point(affine, jnp.zeros(3), b, max_steps=3))(POINT)
        assert not result.converged
        assert result.steps == 3
        with pytest.raises(RuntimeError, match=r"did not converge: the last of 3 steps changed a by \d"):
            result.check()

    def test_divergence_ends_at_once_and_says_so(self):
        result = jax.jit(lambda a0: fixed_point(lambda a, b: a * a + b, a0, 1.0))(2.0)
        assert not result.converged
        assert result.steps < 20
        with pytest.raises(RuntimeError, match="did not converge"):
            result.check()

    @pytest.mark.parametrize("acceleration", [None, Anderson(2)])
    def test_many_nan_are_no_solution(self, acceleration):
        run = lambda a0: fixed_point(lambda a, b: b * a, a0, jnp.nan, acceleration=acceleration)
        result = jax.jit(run)(np.ones(50_000))
        assert not result.converged
        assert result.steps == 1

    def test_two_cycle(self):
        assert not jax.jit(lambda a0: fixed_point(lambda a, b: b - a, a0, 1.0).converged)(2.0)

    @pytest.mark.parametrize(
        ("g", "a0", "b", "max_steps"),
        [
            (lambda a, b: b * a * (1 - a), 0.3, 3.9, 1000),  # chaos
            (lambda a, b: b - a, 2.0, 1.0, 1000),  # a cycle
            (lambda a, b: 0.9 * a + b, 0.0, 1.0, 10),  # too few steps
        ],
    )
    def test_what_is_no_solution_has_no_derivative(self, g, a0, b, max_steps):
        run = lambda b: fixed_point(g, jnp.array(a0), b, max_steps=max_steps)
        f = lambda b: run(b).value
        found = jax.jit(lambda b: (run(b), jax.grad(f)(b), jax.jvp(f, (b,), (1.0,))[1], jax.grad(jax.grad(f))(b)))(b)
        assert not found[0].converged
        assert np.isfinite(found[0].value)
        assert np.isnan(found[1:]).all()

    def test_derivative_that_cannot_be_found_is_nan(self):
        # the derivative of this step tends to 1 at the solution, so the linear equation converges more slowly still
        step = lambda a, b: a - (a - b) ** 3
        f = lambda b: fixed_point(step, jnp.array(1.0), b, tolerance=1e-6, max_steps=10_000).value
        value, *derivatives = jax.jit(lambda b: (f(b), jax.grad(f)(b), jax.jvp(f, (b,), (1.0,))[1]))(0.5)
        assert np.allclose(value, 0.5, atol=0.02)
        assert np.isnan(derivatives).all()


def test_started_at_the_solution():
    result = jax.jit(lambda a0: fixed_point(heron, a0, 4.0))(2.0)
    assert result.steps == 1
    assert result.converged
    assert result.change == 0.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"a0": np.arange(3)}, TypeError, "^`a0` must be a real float, got int"),
        (
            {"a0": np.zeros(3, np.float32)},
            TypeError,
            r"^`g\(a, b\)` must have the dtypes of `a0`, got float64 in place of float32",
        ),
        ({"g": lambda a, b: a[:2]}, ValueError, r"^`g\(a, b\)` must have the shapes of `a0`, got \(2,\)"),
        ({"g": lambda a, b: (a, a)}, ValueError, r"^`g\(a, b\)` must have the structure of `a0`"),
        ({"tolerance": 0.0}, ValueError, "^`tolerance` must be positive, got 0.0"),
        ({"tolerance": float("nan")}, ValueError, "^`tolerance` must be positive, got nan"),
        ({"max_steps": 0}, ValueError, "^`max_steps` must be at least 1, got 0"),
        ({"max_steps": True}, TypeError, "^`max_steps` must be an integer known before compiling, got True"),
    ],
)
def test_bad_arguments(arguments, error, message):
    g = lambda a, b: 0.5 * a.astype(jnp.float64) + b
    with pytest.raises(error, match=message):
        fixed_point(**({"g": g, "a0": jnp.zeros(3), "b": B} | arguments))
