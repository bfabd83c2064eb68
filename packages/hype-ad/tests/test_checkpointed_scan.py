from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import checkpointed_scan
from hype_ad.testing import assert_derivatives_match, tree_allclose
from jax import lax

LENGTHS = [1, 7, 17, 59]
LEVELS = [1, 2, 3, 4]


def logistic_step(carry, x):
    position, velocity = carry
    velocity = 0.9 * velocity + 0.1 * jnp.sin(x * position)
    return (position + velocity, velocity), jnp.cos(position) * x


def inputs(length):
    return (np.array([0.3, -0.2]), np.array([0.1, 0.4])), np.linspace(0.5, 1.5, length)


@pytest.mark.parametrize("length", LENGTHS)
def test_gives_what_scan_gives(length):
    @jax.jit
    def every(*inputs):
        return lax.scan(logistic_step, *inputs), [checkpointed_scan(logistic_step, *inputs, n) for n in LEVELS]

    expected, results = every(*inputs(length))
    for levels, result in zip(LEVELS, results, strict=True):
        assert tree_allclose(result, expected, rtol=1e-13), f"{levels} levels"


@pytest.mark.parametrize("levels", [LEVELS[1:2], pytest.param(LEVELS, marks=pytest.mark.slow)], ids=str)
def test_single_steps_give_what_scan_gives_and_its_derivatives(levels):
    def every(scan, xs):
        last = lambda xs: jnp.sum(jnp.sin(scan(logistic_step, inputs(17)[0], xs)[1]))
        slope = lambda xs: jnp.sum(jnp.cos(jax.grad(last)(xs)))
        return scan(logistic_step, inputs(17)[0], xs), jax.jvp(jax.grad(last), (xs,), (xs,)), jax.grad(slope)(xs)

    scans = [partial(checkpointed_scan, levels=number, single_steps=True) for number in levels]
    expected, *results = jax.jit(lambda xs: [every(scan, xs) for scan in (lax.scan, *scans)])(inputs(17)[1])
    for number, result in zip(levels, results, strict=True):
        assert tree_allclose(result, expected, rtol=1e-12), f"{number} levels"


@pytest.mark.parametrize("levels", [2, 3])
def test_single_steps_keep_states_and_what_one_step_computes(levels):
    def temporary_bytes(**how):
        step = lambda c, _: (jnp.mean(jnp.sin(jnp.tanh(c * jnp.linspace(0.0, 1.0, 5000)) * c)), None)
        run = lambda x: checkpointed_scan(step, x, length=64, levels=levels, **how)[0]
        program = jax.jit(jax.grad(run)).lower(1.0).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert temporary_bytes(single_steps=True) < 0.45 * temporary_bytes()


@pytest.mark.parametrize("levels", LEVELS)
def test_no_steps_give_the_first_carry_and_empty_outputs(levels):
    carry, ys = checkpointed_scan(logistic_step, *inputs(0), levels)
    assert tree_allclose(carry, inputs(0)[0])
    assert ys.shape == (0, 2)


BOTH, ONE = ("reverse", "forward"), ("reverse",)


@pytest.mark.parametrize(
    ("length", "levels", "modes"), [(17, 2, BOTH), pytest.param(59, 4, ONE, marks=pytest.mark.slow)]
)
def test_derivatives_of_first_and_second_order(length, levels, modes):
    def outcome(inputs):
        carry, ys = checkpointed_scan(logistic_step, *inputs, levels)
        return carry, jnp.sum(ys**2)

    assert_derivatives_match(outcome, inputs(length), order=2, modes=modes, num_directions=1)


@pytest.mark.slow
def test_derivative_of_third_order_equals_that_of_scan():
    def third(scan, x):
        f = lambda x: scan(lambda c, _: (jnp.sin(c * x), None), x, length=17)[0]
        return jax.grad(jax.grad(jax.grad(f)))(x), jax.jacfwd(jax.grad(jax.jacfwd(f)))(x)

    both = jax.jit(lambda x: (third(checkpointed_scan, x), third(partial(lax.scan, xs=None), x)))
    np.testing.assert_allclose(*both(0.7), rtol=1e-12)


@pytest.mark.slow
def test_hessian_equals_that_of_scan():
    xs = inputs(17)[1]
    scans = [lax.scan, *(partial(checkpointed_scan, levels=levels) for levels in (2, 3))]
    end = lambda scan: lambda x: jnp.sum(scan(logistic_step, (x, x), xs)[0][0] ** 2)
    hessians = jax.jit(lambda x: [jax.hessian(end(scan))(x) for scan in scans])(jnp.array([0.3, -0.2]))
    np.testing.assert_allclose(hessians[1:], [hessians[0]] * 2, rtol=1e-12)


def test_a_batch_equals_its_members():
    run = lambda init: checkpointed_scan(logistic_step, init, inputs(17)[1])
    starts = jax.tree.map(lambda leaf: np.stack([leaf, 2 * leaf, -leaf]), inputs(17)[0])
    batch, alone = jax.jit(jax.vmap(run))(starts), jax.jit(run)
    for i in range(3):
        member = jax.tree.map(lambda b, i=i: np.asarray(b)[i], batch)
        assert tree_allclose(member, alone(jax.tree.map(lambda s, i=i: s[i], starts)))


@pytest.mark.slow
def test_a_scan_within_a_scan():
    def outer(w, x):
        inner, ys = checkpointed_scan(lambda c, y: (jnp.sin(c + w * y), c), x, jnp.linspace(0.0, 1.0, 17), 2)
        return w + 0.1 * inner, jnp.sum(ys)

    assert_derivatives_match(
        lambda w: checkpointed_scan(outer, w, inputs(16)[1], 2), 0.4, order=2, modes=ONE, num_directions=1
    )


def test_load_replaces_what_a_segment_reads():
    data, rows = np.sin(np.arange(10.0)), np.arange(17) % 10
    read = lambda data: checkpointed_scan(logistic_step, inputs(1)[0], rows, load=lambda rows: data[rows])
    direct = lambda data: checkpointed_scan(lambda c, row: logistic_step(c, data[row]), inputs(1)[0], rows)
    alone = lambda data: checkpointed_scan(
        logistic_step, inputs(1)[0], rows, load=lambda rows: data[rows], single_steps=True
    )
    ours, expected, singly = jax.jit(lambda data: (read(data), direct(data), alone(data)))(data)
    assert tree_allclose(ours, expected, rtol=1e-14)
    assert tree_allclose(singly, expected, rtol=1e-14)
    assert_derivatives_match(read, data, num_directions=1)


def test_load_costs_a_cotangent_of_the_data_once_a_segment():
    data, rows = np.ones((1000, 20)), np.arange(64) % 10
    step = lambda c, x: (jnp.sin(c + x), None)
    end = lambda data: jnp.sum(checkpointed_scan(step, jnp.zeros(20), rows, load=lambda rows: data[rows])[0])
    once = jax.jit(jax.grad(end)).lower(data).compile()
    assert once.memory_analysis().temp_size_in_bytes < data.nbytes / 2  # all rows at once would be as much as the data


def test_the_step_is_traced_as_often_for_many_steps_as_for_few():
    def traces(length):
        count = 0

        def step(carry, x):
            nonlocal count
            count += 1
            return carry * x, carry

        jax.jit(jax.grad(lambda c: checkpointed_scan(step, c, jnp.ones(length))[0]))(1.0)
        return count

    assert traces(10_000) == traces(100)
    assert traces(10_007) == traces(101)


@pytest.mark.parametrize(("levels", "growth"), [(2, 4.5), (3, 2.8)])
def test_memory_of_the_reverse_pass_grows_like_a_root_of_the_steps(levels, growth):
    def temporary_bytes(length):
        run = lambda x: checkpointed_scan(lambda c, _: (jnp.sin(c), None), x, length=length, levels=levels)[0]
        program = jax.jit(jax.grad(lambda x: jnp.sum(run(x)))).lower(np.ones(1000)).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert temporary_bytes(4096) <= growth * temporary_bytes(256)  # 16 times the steps: 4 and 2.5 times the states


def test_float32_stays_float32():
    init, xs = jax.tree.map(lambda leaf: leaf.astype(np.float32), inputs(17))
    results = jax.eval_shape(partial(checkpointed_scan, logistic_step), init, xs)
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"levels": 0}, ValueError, "`levels` must be at least 1, got 0"),
        ({"levels": 2.0}, TypeError, "levels"),
        ({"single_steps": 1}, TypeError, "single_steps"),
        ({"levels": True}, TypeError, "^`levels` must be an integer known before compiling, got True"),
        ({"xs": None}, ValueError, "^`length` must be the number of steps where `xs` has no arrays, got None"),
        ({"length": 4}, ValueError, r"^`xs` must have leading axes of one length, that of `length`, got \[3, 4\]"),
        ({"length": 3.0}, TypeError, "length"),
        ({"length": True}, TypeError, "^`length` must be an integer known before compiling, got True"),
        ({"xs": None, "length": -1}, ValueError, "`length` must be at least 0, got -1"),
        ({"xs": (np.ones(3), 1.0)}, ValueError, "^`xs` must have a leading axis over the steps .*, got a scalar"),
        ({"xs": (np.ones(3), np.ones(4))}, ValueError, r"^`xs` must have leading axes of one length, .* \[3, 4\]"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        checkpointed_scan(lambda c, x: (c, x), 1.0, **{"xs": np.ones(3), **arguments})
