"""What a result looks like in print."""

import jax
import jax.numpy as jnp
from hype_optim import Implicit, Params, minimize

PARAMS = Params(3, learning_rate=0.25, adjoint=Implicit(), track_sensitivity=True, silent=True)


def run(w0):
    return minimize(lambda w: jnp.sum(w**2), w0, PARAMS)


def test_numbers_have_values_and_arrays_shapes():
    text = repr(run(jnp.ones(2)))
    for line in (
        "loss=0.03125",
        "w=f64[2]",
        "steps=3",
        "status=<The run made all of its steps.>",
        "state=RunState(...)",
    ):
        assert f"\n  {line},\n" in text
    assert "gradient_norm=0.353553" in text
    assert "growth=-0.693147" in text


def test_what_has_no_value_has_a_shape():
    traced = []
    jax.jit(lambda w0: traced.append(repr(run(w0))))(jnp.ones(2))
    assert "loss=f64[]" in traced[0]
    assert "loss=f64[2]" in repr(jax.vmap(run)(jnp.ones((2, 3))))
