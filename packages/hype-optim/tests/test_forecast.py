"""The forecast says what XLA says, counts what there is to count, and the automatic choice keeps to its budget."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import (
    Auto,
    Checkpointed,
    Implicit,
    Momentum,
    NoReg,
    Params,
    StepSchedule,
    Unrolled,
    forecast,
    minimize,
)

N, STEPS = 24, 200
MATRIX = np.random.default_rng(0).normal(size=(N, N)) / N
PARAMS = Params(
    learning_rate=StepSchedule(np.full(STEPS, 0.1)), momentum=Momentum(0.7), regularization=NoReg(), silent=True
)


def loss(params):
    return minimize(lambda w: jnp.sum(jnp.tanh(MATRIX @ w) ** 2), jnp.ones((N, N)), params).loss


@pytest.fixture(scope="module")
def found():
    return forecast(loss, PARAMS, [Unrolled(), Checkpointed(2), Checkpointed(3)])


@pytest.mark.slow
def test_bytes_are_those_of_the_compiled_hypergradient(found):
    assert found.numbers == STEPS + 1
    for adjoint in (Unrolled(), Checkpointed(2)):
        program = jax.jit(jax.grad(loss)).lower(replace(PARAMS, adjoint=adjoint)).compile()
        assert found[adjoint].bytes == program.memory_analysis().temp_size_in_bytes
    unrolled, two, three = (row.bytes for row in found.rows[1:4])
    assert unrolled > 3 * two > 3 * three
    assert found["forward mode, one number"].bytes < two


def test_time_is_the_arithmetic_of_the_program(found):
    # A step is a product with the matrix and one with its transpose. Either derivative makes one of each more, and each
    # level beyond the first the step again.
    plain, unrolled, two, three, one, every = (row.time for row in found.rows)
    assert plain == 1
    np.testing.assert_allclose((unrolled, two, three), (2, 3, 4), rtol=0.12)
    np.testing.assert_allclose(one, 2, rtol=0.12)
    np.testing.assert_allclose(every, (STEPS + 1) * one, rtol=1e-12)
    assert all(row.exact for row in found.rows)


@pytest.mark.slow
def test_it_prints_and_picks(found):
    printed = str(found)
    assert "hypergradient of 201 numbers" in printed
    for row in found.rows:
        assert any(line.startswith(row.name) and f"{row.time:.2f}" in line for line in printed.splitlines())
    assert found.fastest(1e12).name == "Unrolled()"
    assert found.fastest(found["Checkpointed(levels=2)"].bytes).name == "Checkpointed(levels=2)"
    assert found.fastest(1) is None
    few = forecast(lambda rate: loss(Params(3, learning_rate=rate, silent=True)), 0.1)
    assert [row.name for row in few.rows] == [
        "a plain run",
        "reverse mode",
        "forward mode, one number",
        "forward mode, all numbers",
    ]
    # A linear solve by iteration has no known length.
    assert "at least" in str(forecast(lambda b: minimize(lambda w: (w - b) ** 2, 0.0, SOLVED).w, 0.1))


SOLVED = Params(3, learning_rate=0.1, adjoint=Implicit(), silent=True)


def test_bad_input_raises(found):
    with pytest.raises(KeyError, match=r"There is no row 'Checkpointed', only .*Checkpointed\(levels=2\)"):
        found["Checkpointed"]
    with pytest.raises(TypeError, match="`params` must have at least one float leaf"):
        forecast(lambda p: 1.0, {"steps": 3})
    with pytest.raises(ValueError, match="depends on none of the floats"):
        forecast(lambda p: jnp.ones(()), 0.5)
    with pytest.raises(TypeError, match="f"):
        forecast(0.5, 0.5)
    for adjoints in (Checkpointed(), [Checkpointed]):
        with pytest.raises(TypeError, match="adjoints"):
            forecast(lambda p: p, 0.5, adjoints)
    with pytest.raises(ValueError, match="`memory` must be at least 1, got 0"):
        Auto(0)


def test_the_automatic_choice(found):
    assert Params(adjoint="auto").adjoint == Auto()
    auto = Auto(10**6)
    assert auto.levels(1000, 100, 500) == 1
    # Two levels keep 32 times two states and what a step keeps, three levels 10 times three states and that.
    assert auto.levels(1000, 10_000, 5_000) == 2
    assert auto.levels(1000, 20_000, 10_000) == 3
    assert auto.levels(1000, 10**6, 10**6) == min(range(2, 9), key=lambda n: 1000 ** (1 / n) * (n + 1))
    assert Auto(10**12).levels(10**6, 10, 10**3) == 2  # more than a cache holds
    compiled = lambda auto: jax.jit(jax.grad(loss)).lower(replace(PARAMS, adjoint=auto)).compile()
    exact, chosen = compiled(Auto()), compiled(Auto(2 * 10**6))
    assert exact.memory_analysis().temp_size_in_bytes == found["Unrolled()"].bytes
    assert chosen.memory_analysis().temp_size_in_bytes == found["Checkpointed(levels=2)"].bytes
    rates = [
        program(replace(PARAMS, adjoint=auto)).learning_rate.rates
        for program, auto in ((exact, Auto()), (chosen, Auto(2 * 10**6)))
    ]
    np.testing.assert_allclose(*rates, rtol=1e-9)
