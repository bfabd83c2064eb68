"""What the pictures of a result show."""

import sys

import jax
import matplotlib
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import CrossEntropyOnLinear, Minibatch, Params, RMSProp, StepSchedule, minimize, train

from .problems import classes, network, valley

matplotlib.use("Agg")
START = np.array([-0.4, 0.8])
RATES = np.array([0.05, 0.04, 0.03, 0.01])


@pytest.fixture(autouse=True)
def close():
    from matplotlib import pyplot  # not above: it takes a second, which each worker would spend to collect this module

    yield
    pyplot.close("all")


def lines(axes):
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_the_curves_are_the_histories(tmp_path):
    params = Params(
        3, learning_rate=0.1, loss=CrossEntropyOnLinear(), batch=Minibatch(4), validation_interval=2, silent=True
    )
    result = train(network(), classes(12), params, valid=classes(5))
    figure = result.plot()
    assert [axes.get_title() for axes in figure.axes] == ["loss", "learning rate"]
    assert figure.get_suptitle() == "The run made all of its steps."
    losses, rates = map(lines, figure.axes)
    np.testing.assert_allclose(losses["training"], np.stack([np.arange(9), result.loss_history], axis=1))
    np.testing.assert_allclose(losses["validation"], np.stack([[3, 9], result.valid_history], axis=1))
    np.testing.assert_allclose(np.asarray(rates["learning rate"])[:, 1], 0.1)
    figure.savefig(tmp_path / "run.png")
    assert matplotlib.image.imread(tmp_path / "run.png").std() > 0.05  # something is drawn


def test_a_sweep_has_a_curve_for_each_run():
    run = lambda rate: minimize(valley, START, Params(40, learning_rate=rate, silent=True))
    figure = jax.vmap(run)(RATES).plot()
    assert figure.get_suptitle() == "4 runs"
    assert [len(axes.get_lines()) for axes in figure.axes] == [4, 4]
    np.testing.assert_allclose([np.asarray(line.get_ydata())[7] for line in figure.axes[1].get_lines()], RATES)


@pytest.mark.parametrize("scale", [1.0, 0.0], ids=["moving", "at rest"])
def test_the_rate_is_that_of_the_schedule(scale):
    f = lambda w: scale * valley(w)
    history = minimize(f, START, Params(learning_rate=StepSchedule(RATES), silent=True)).learning_rate_history
    np.testing.assert_allclose(history, RATES)


def test_adaptive_steps_without_a_direction_have_no_rate():
    result = minimize(lambda w: 0 * valley(w), START, Params(1, learning_rate=RMSProp(0.02, 0.9), silent=True))
    assert result.learning_rate_history[0] == 0


def test_the_rate_of_adaptive_steps_is_a_mean_of_rates():
    result = minimize(valley, START, Params(1, learning_rate=RMSProp(0.02, 0.9), silent=True))
    gradient = np.asarray(jax.jit(jax.grad(valley))(START))
    step = 0.02 * gradient / np.sqrt(0.1 * gradient**2 + 1e-6)
    np.testing.assert_allclose(result.learning_rate_history[0], np.linalg.norm(step) / np.linalg.norm(gradient))


def test_derivatives_of_rates():
    rates = lambda inputs: minimize(valley, *inputs).learning_rate_history
    params = Params(2, learning_rate=RMSProp(0.02, 0.9), silent=True)
    assert_derivatives_match(rates, (START, params), num_directions=1)


def test_the_error_without_matplotlib_says_what_to_install(monkeypatch):
    result = minimize(valley, START, Params(1, silent=True))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"needs Matplotlib.*hype-optim\[plot\]"):
        result.plot()
