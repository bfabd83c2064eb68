"""What a result looks like in print."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from hype_optim import Checkpointed, Implicit, Params, check_hypergradient, forecast, minimize

PARAMS = Params(3, learning_rate=0.25, adjoint=Implicit(), track_sensitivity=True, silent=True)


def run(w0):
    return minimize(lambda w: jnp.sum(w**2), w0, PARAMS)


@pytest.fixture(scope="module")
def result():
    return run(jnp.ones(2))


def test_numbers_have_values_and_arrays_shapes(result):
    text = repr(result)
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


def test_a_notebook_shows_the_numbers_and_the_curve(result):
    shown = result._repr_html_()
    assert "Result: The run made all of its steps." in shown
    assert ">0.03125</td>" in shown
    assert ">-0.693147</td>" in shown
    assert shown.count("<polyline") == 1
    assert repr(result).replace("<", "&lt;").replace(">", "&gt;") in shown  # all else, folded


def test_a_notebook_shows_no_rate_where_no_step_was_made():
    params = Params(3, learning_rate=0.25, tolerance=1e-3, silent=True)
    shown = minimize(lambda w: jnp.sum(w**2), jnp.zeros(2), params)._repr_html_()
    assert ">0</td>" in shown
    assert "learning rate</td>" not in shown


def test_a_notebook_shows_validation_beside_training(result):
    checks = {"valid_loss": jnp.array(0.5), "valid_history": jnp.array([2.0, 0.5]), "valid_steps": jnp.array([1, 3])}
    shown = replace(result, **checks)._repr_html_()
    assert shown.count("<polyline") == 2
    assert "validation loss" in shown


def test_a_notebook_shows_a_batch_of_runs():
    losses = lambda rate: minimize(lambda w: jnp.sum(w**4), jnp.ones(2), Params(20, learning_rate=rate, silent=True))
    shown = jax.vmap(losses)(jnp.array([0.01, 0.1, 100.0]))._repr_html_()
    assert "3 runs, of which 1 failed." in shown
    assert shown.count("<polyline") == 3


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap], ids=lambda f: f.__name__)
def test_a_notebook_shows_what_is_traced_by_its_shapes(result, transform):
    shown, results = [], jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), result)
    transform(lambda result: shown.append(result._repr_html_()))(results)
    assert "loss=f64[" in shown[0]
    assert "<svg" not in shown[0]


def test_a_notebook_shows_shapes_of_what_was_never_computed():
    assert "<pre" in eqx.filter_eval_shape(run, jnp.ones(2))._repr_html_()


def test_a_notebook_shows_checks_and_forecasts_as_tables_with_sentences_below():
    loss = lambda params: minimize(lambda w: jnp.sum(w**2), jnp.ones(2), params).loss
    params = Params(3, learning_rate=0.25, silent=True)
    for report in (check_hypergradient(loss, params), forecast(loss, params, [Checkpointed()])):
        shown, last = report._repr_html_(), str(report).splitlines()[-1]
        assert shown.count("<tr>") == 1 + len(report.rows)
        assert f"<p>{last}</p>".replace("'", "&#x27;") in shown
