"""Examples of rules of one's own, with a derivative through each: they run, small, and are held to numbers."""

import ast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import Constant

from .running import EXAMPLES, call, example

NAMES = (
    "learned_optimizer",
    "maml",
    "opponent_shaping",
    "dictionary_learning",
    "deep_equilibrium",
    "learning_to_reweight",
    "architecture_weights",
)


@pytest.mark.parametrize("name", NAMES)
def test_is_at_most_sixty_lines(name):
    """Of code: beside imports, docstrings, comments and empty lines."""
    text = (EXAMPLES / f"{name}.py").read_text()
    tree, other = ast.parse(text), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            other.update(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), 1)
    assert sum(bool(line.strip()) and not line.lstrip().startswith("#") and i not in other for i, line in lines) <= 60


@pytest.mark.slow
def test_a_learned_optimizer_starts_where_adam_does(tmp_path, capsys):
    learned, adam = call("learned_optimizer", tmp_path, meta_steps=1, draws=1)
    assert learned.shape == adam.shape == (10, 51)
    np.testing.assert_allclose(learned[:, 0], adam[:, 0], rtol=1e-6)
    np.testing.assert_allclose(adam[:, -1].mean(), 0.046, rtol=0.1)  # that of the best rate
    assert f"learned: loss {learned[:, -1].mean():.4f}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_learned_optimizer_is_better_than_adam(tmp_path):
    learned, adam = call("learned_optimizer", tmp_path, meta_steps=150, draws=2)
    assert learned[:, -1].mean() < 0.9 * adam[:, -1].mean()


@pytest.mark.slow
def test_maml_is_what_one_writes_by_hand(tmp_path):
    errors = call("maml", tmp_path, steps=20, shots=5, tests=10)
    assert {name: np.shape(e) for name, e in errors.items()} == {"MAML": (10, 10), "Meta-SGD": (10, 10)}
    maml = example("maml")
    network = maml.new_network(jax.random.key(0))

    def by_hand(network, seed):
        gradient = jax.grad(lambda w: maml.error(seed, maml.points(seed, 5)[0], w))(network)
        return maml.error(seed, maml.points(seed, 5)[1], jax.tree.map(lambda w, g: w - 0.01 * g, network, gradient))

    ours = lambda network, seed: maml.error(
        seed, maml.points(seed, 5)[1], maml.adapted(network, Constant(0.01), seed, 5)
    )
    both = jax.jit(lambda network: [jax.value_and_grad(f)(network, 7) for f in (ours, by_hand)])(network)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), *both)


@pytest.mark.slow
def test_maml_learns_waves_as_in_the_papers(tmp_path):
    errors = call("maml", tmp_path, steps=5_000, tests=300)
    assert errors["MAML"][0].mean() < 0.77  # Li et al. 2017
    assert errors["Meta-SGD"][0].mean() < 0.53


def test_players_who_know_that_others_learn_cooperate(tmp_path):
    found = call("opponent_shaping", tmp_path, steps=120, pairs=30)
    naive, aware = (earned[:, -1] for _, earned in found.values())
    np.testing.assert_allclose([naive.mean(), aware.mean()], [-1.98, -1.06], atol=0.05)  # Foerster et al. 2018, table 3
    policies = np.median(jax.nn.sigmoid(found["LOLA"][0]), axis=(0, 1))
    np.testing.assert_allclose(policies, [1, 1, 0, 1, 0], atol=0.1)  # tit-for-tat


def test_what_a_policy_earns_has_a_closed_form():
    value = example("opponent_shaping").value
    tit_for_tat, always = jnp.array([50.0, 50.0, -50.0, 50.0, -50.0]), jnp.full(5, 50.0)
    np.testing.assert_allclose(value(tit_for_tat, tit_for_tat), -1)
    np.testing.assert_allclose(value(always, -always), -3)
    np.testing.assert_allclose(value(tit_for_tat, -always), 0.04 * -3 + 0.96 * -2)


@pytest.mark.slow
def test_a_dictionary_is_as_good_as_scikit_learns_and_both_derivatives_err_as_theory_says(tmp_path):
    costs, wrong = call("dictionary_learning", tmp_path, images=60, size=16, steps=30, numbers=(40, 80))
    assert costs[0] < 1.02 * costs[1] < costs[2]
    (first, exact), (_, danskin) = np.log(wrong)
    assert exact < danskin
    # Ablin et al. 2020: the error of one is the square of that of the other's, but for a factor of the number of steps
    np.testing.assert_allclose((exact - first) / np.diff(np.log(wrong[1])), 2, atol=0.1)


@pytest.mark.slow
def test_a_deep_equilibrium_network(tmp_path):
    result = call("deep_equilibrium", tmp_path, epochs=3, hidden=20)
    assert result.error < 0.2
    assert result.steps[0].mean() < 0.8 * result.steps[1].mean()  # Anderson acceleration
    assert result.apart[-1] < 1e-7  # the theorem gives the derivative of infinitely many applications
    assert np.all(np.diff(result.apart) < 0)


def test_weights_of_examples_are_those_of_the_paper(tmp_path, capsys):
    errors, total, wrong = call("learning_to_reweight", tmp_path, steps=300)
    alone, weighted = (errors[name][-30:].mean() for name in ("the 100 alone", "weights"))
    assert weighted < alone
    assert total[wrong].sum() / total.sum() < 0.35 < wrong.mean()
    assert f"Wrong labels, {wrong.mean():.0%} of all" in capsys.readouterr().out
    module = example("learning_to_reweight")
    keys = jax.random.split(jax.random.key(0), 3)
    x, network = jax.random.normal(keys[0], (12, 64)), module.new_network(keys[1])
    batch, trusted = (x[:8], jnp.arange(8)), (x[8:], jnp.arange(4))

    def by_hand(network):  # their equation 12: how much an example's gradient is along that of the trusted ones
        good = jax.grad(lambda w: jnp.mean(module.losses(trusted, w)))(network)
        each = jax.jacrev(lambda w: module.losses(batch, w))(network)
        products = jax.tree.map(lambda e, g: jnp.tensordot(e, g, g.ndim), each, good)
        helps = jax.nn.relu(sum(jax.tree.leaves(products)))
        return helps / jnp.sum(helps)

    ours = jax.jit(module.learned_weights)(network, batch, trusted)
    np.testing.assert_allclose(ours, jax.jit(by_hand)(network), rtol=1e-9)


def test_architecture_weights_find_what_the_targets_were_made_with(tmp_path):
    weights, errors = call("architecture_weights", tmp_path, steps=40, draws=2)
    truth = example("architecture_weights").TRUTH
    assert np.sum(np.argmax(np.asarray(weights[:, -1]), axis=-1) == np.asarray(truth)) >= 15  # of 16; 4 by chance
    equal, mixed, chosen, best = errors.mean(axis=0)
    assert mixed < equal / 4
    np.testing.assert_allclose(best, 0.09, atol=0.03)  # the noise
    assert chosen < mixed
