from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hype_optim import (
    GD,
    Backtrack,
    Checkpointed,
    Constant,
    Early,
    L1Reg,
    L2Reg,
    Minibatch,
    Momentum,
    Nesterov,
    Neumann,
    Newton,
    NormClip,
    Params,
    RMSProp,
    Schedule,
    StepSchedule,
    positive,
    unit_interval,
)

pytestmark = pytest.mark.smoke


def test_every_float_is_a_leaf_and_nothing_else():
    params = Params(learning_rate=RMSProp(0.1, 0.9), momentum=Nesterov(0.8), regularization=L2Reg(0.01), tolerance=1e-3)
    leaves = jax.tree.leaves(params)
    assert sorted(map(float, leaves)) == [0.001, 0.01, 0.1, 0.8, 0.9, 0.995]
    assert all(leaf.dtype == jnp.result_type(float) and not leaf.weak_type for leaf in leaves)


def test_a_method_says_what_rate_it_takes_by_default():
    assert Params().learning_rate == RMSProp()
    assert isinstance(Params(method=Newton()).learning_rate, Backtrack)
    assert Params(method=Newton(), learning_rate=0.5).learning_rate == Constant(0.5)


def test_a_method_that_takes_the_place_of_an_optax_transformation_brings_its_default_rate():
    assert replace(Params(method=optax.sgd(0.1)), method=GD()).learning_rate == RMSProp()


def test_defaults_have_the_precision_of_the_moment():
    with jax.enable_x64(False):
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(Params()))
    assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(Params()))


def test_ranges_have_the_value_they_were_given_and_cannot_leave_their_range():
    for value in (1e-9, 0.3, 0.999):
        np.testing.assert_allclose(positive(value).value, value, rtol=1e-14)
        np.testing.assert_allclose(unit_interval(value).value, value, rtol=1e-12)
    far = jax.tree.map(lambda raw: raw - 100, (positive(0.1), unit_interval(0.9)))
    assert all(0 < r.value < 1 for r in far)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Params(epochs=0), ValueError, "`epochs` must be at least 1, got 0"),
        (lambda: Params(epochs=1.5), TypeError, "epochs"),
        (lambda: Params(method="GD"), TypeError, "method"),
        (lambda: Params(learning_rate="fast"), TypeError, "learning_rate"),
        (lambda: Params(method=Newton), TypeError, "got the class Newton, which has to be called|parameter 'method'"),
        (lambda: Params(learning_rate=[0.1, 0.2]), TypeError, r"such as Constant\(0.1\), or .* StepSchedule\("),
        (lambda: Params(learning_rate=-0.1), ValueError, "`rate` must be at least 0, got -0.1"),
        (lambda: Params(momentum=0.9), TypeError, "momentum"),
        (lambda: Params(loss=3), TypeError, "loss"),
        (lambda: Params(batch=100), TypeError, "batch"),
        (lambda: Params(derivative="sideways"), (ValueError, TypeError), "derivative"),
        (lambda: Params(validation_interval=0), ValueError, "`validation_interval` must be at least 1"),
        (
            lambda: Params(improvement_threshold=1.1),
            ValueError,
            "`improvement_threshold` must be above 0 and at most 1",
        ),
        (lambda: Params(logging_function=0), TypeError, "logging_function"),
        (lambda: Params(method=optax.sgd(0.1), momentum=Momentum()), ValueError, "`momentum` must not be given beside"),
        (lambda: replace(Params(), method=Newton()), ValueError, "Newton, .* or None for its default"),
        (lambda: Neumann(3, jnp.nan), ValueError, "`step` must be finite, got nan"),
        (lambda: Neumann(3, 0.0), ValueError, "`step` must be above 0, got 0.0"),
        (lambda: NormClip(jnp.ones(2)), ValueError, "`threshold` must be one number for all weights"),
        (lambda: L2Reg(where=3), TypeError, "where"),
        (lambda: Params(tolerance=-1.0), ValueError, "`tolerance` must be at least 0"),
        (lambda: Params(silent="yes"), TypeError, "silent"),
        (lambda: Constant(jnp.nan), ValueError, "`rate` must be at least 0, got nan"),
        (lambda: Constant([]), TypeError, "`rate` must be a number"),
        (lambda: Schedule(jnp.ones(0)), ValueError, "`rates` must hold at least one rate"),
        (lambda: StepSchedule(0.1), ValueError, "`rates` must have a leading axis"),
        (lambda: StepSchedule({"a": jnp.ones(2), "b": jnp.ones(3)}), ValueError, r"equal lengths, got \[2, 3\]"),
        (lambda: StepSchedule(jnp.array([0.1, -0.1])), ValueError, "`rates` must be at least 0"),
        (lambda: RMSProp(0.1, 1.0), ValueError, "`decay` must be at least 0 and below 1, got 1.0"),
        (lambda: Momentum(1.0), ValueError, "`decay` must be at least 0 and below 1, got 1.0"),
        (lambda: Nesterov(-0.1), ValueError, "`decay` must be at least 0 and below 1"),
        (lambda: Momentum(positive(2.0)), ValueError, "`decay` must be at least 0 and below 1, got 2.0"),
        (lambda: NormClip(0.0), ValueError, "`threshold` must be above 0"),
        (lambda: L1Reg(-1.0), ValueError, "`coefficient` must be at least 0"),
        (lambda: L2Reg(-1.0), ValueError, "`coefficient` must be at least 0"),
        (lambda: Minibatch(0), ValueError, "`n` must be at least 1, got 0"),
        (lambda: Checkpointed(0), ValueError, "`levels` must be at least 1, got 0"),
        (lambda: Early(0, 1), ValueError, "`stagnation` must be at least 1"),
        (lambda: Early(1, 0), ValueError, "`overfitting` must be at least 1"),
        (lambda: positive(0.0), ValueError, "`value` must be above 0 and finite, got 0.0"),
        (lambda: unit_interval(1.0), ValueError, "`value` must be above 0 and below 1, got 1.0"),
    ],
)
def test_bad_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()
