"""Diagnostics of a run, and their table."""

import importlib.metadata
import sys
import types
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, FixedSteps
from hype_mcmc._diagnostics import bulk_ess, ebfmi, rank_rhat, tail_ess

from .problems import sample

X0 = {"mu": 0.0, "beta": np.zeros((2, 2))}


def logdensity(x):
    return -0.5 * x["mu"] ** 2 - 0.5 * jnp.sum(x["beta"] ** 2) / 4


@pytest.fixture(scope="module")
def run():
    return sample(
        logdensity, X0, HMC(0.9, FixedSteps(3, jitter=0.3)), key=jax.random.key(0), num_warmup=0, num_samples=600
    )


def test_diagnostics_are_built_like_a_position(run):
    for got, function in ((run.ess(), bulk_ess), (run.tail_ess(), tail_ess), (run.rhat(), rank_rhat)):
        assert got["mu"].shape == ()
        assert got["beta"].shape == (2, 2)
        assert got["mu"] == function(np.asarray(run.draws["mu"]))
        assert got["beta"][1, 0] == function(np.asarray(run.draws["beta"])[:, :, 1, 0])
    np.testing.assert_array_equal(run.ebfmi(), ebfmi(np.asarray(run.energy)))


def test_the_table_has_a_row_for_each_number(run):
    table = run.summary()
    assert table.names == ("beta[0, 0]", "beta[0, 1]", "beta[1, 0]", "beta[1, 1]", "mu")
    mu = np.asarray(run.draws["mu"])
    assert table.mean[4] == mu.mean()
    assert table.sd[4] == mu.std(ddof=1)
    assert table.q5[4] == np.quantile(mu, 0.05)
    assert table.q95[4] == np.quantile(mu, 0.95)
    assert table.ess_bulk[2] == run.ess()["beta"][1, 0]
    assert table.divergences == (0, 0, 0, 0)
    np.testing.assert_allclose(table.mcse, table.sd / np.sqrt(table.ess_bulk), rtol=0.2)
    lines = str(table).splitlines()
    assert lines[0].split() == ["mean", "sd", "mcse", "5%", "95%", "ess_bulk", "ess_tail", "rhat"]
    assert lines[6].startswith("mu")
    assert len({len(line) for line in lines[:7]}) == 1


def test_a_good_run_has_no_warnings(run):
    assert run.summary().warnings == ()
    assert "Warning" not in str(run.summary())


def put(x, where, value):
    """A copy with other entries, by NumPy, which compiles nothing."""
    x = np.array(x)
    x[where] = value
    return x


def changed(run, **fields):
    """With other arrays; past the constructor, whose annotations want all of them to fit."""
    return eqx.tree_at(lambda r: [getattr(r, name) for name in fields], run, list(fields.values()))


def test_what_is_wrong_is_said_in_words(run):
    apart = eqx.tree_at(lambda r: r.draws["mu"], run, run.draws["mu"] + np.arange(4.0)[:, None])
    (rhat, ess) = apart.summary().warnings
    assert rhat.startswith("R-hat is above 1.01 for mu (largest: ")
    assert ess.startswith("The effective sample size is below 400 for mu")

    short = jax.tree.map(lambda x: np.asarray(x)[:, :20] if x.shape[:2] == (4, 600) else x, run)
    assert any("below 400 for 5 of 5 quantities" in warning for warning in short.summary().warnings)

    divergences = put(put(run.divergences, np.s_[1, :7], True), (3, 0), True)
    (warning,) = changed(run, divergences=divergences).summary().warnings
    assert warning.startswith("8 of 2400 transitions diverged (7 in chain 1, 1 in chain 3)")

    slow = put(run.energy, 2, np.linspace(0, 10, 600))
    (warning,) = changed(run, energy=slow).summary().warnings
    assert warning.startswith("E-BFMI is below 0.3 for chain 2")

    draws = jax.tree.map(lambda x: put(x, 0, 0.0), run.draws)
    frozen = changed(run, draws=draws, acceptance=put(run.acceptance, 0, 0.0))
    assert frozen.summary().warnings[0].startswith("chain 0 never moved: the step size is too large")
    for lost in (changed(run, draws=draws), changed(frozen, energy=put(run.energy, 0, np.inf))):
        assert lost.summary().warnings[0].startswith("chain 0 never moved, with energies that are infinite or steps")
    (warning,) = [w for w in frozen.summary().warnings if "separate modes" in w] or ("none",)
    assert warning == "none"
    shift = lambda x: put(x, np.s_[1::2], np.asarray(x)[1::2] + 100)
    warnings = changed(run, draws=jax.tree.map(shift, run.draws)).summary().warnings
    assert any(w.startswith("The chains are in separate modes (chains 0, 2 against chains 1, 3, by ") for w in warnings)
    all_frozen = changed(run, draws=jax.tree.map(np.zeros_like, run.draws))
    assert all_frozen.summary().warnings[0].startswith("chains 0, 1, 2, 3 never moved")


def test_many_chains_that_are_each_too_short_are_no_disagreement(run):
    """600 draws of each chain as 20 chains of 30, whose R-hats are above 1.01 for that alone."""
    short = jax.tree.map(lambda x: np.asarray(x).reshape(80, 30, *x.shape[2:]) if x.shape[:2] == (4, 600) else x, run)
    assert np.max(short.summary().rhat) > 1.01
    assert short.summary().warnings == ()
    moved = changed(short, draws={**short.draws, "mu": short.draws["mu"] + np.arange(80.0)[:, None] % 2})
    assert [w for w in moved.summary().warnings if w.startswith("R-hat is above 1.01 for mu")]


def test_chains_that_are_frozen_for_a_while_are_told(run):
    still = lambda x: put(put(x, np.s_[1, 100:200], 0.0), np.s_[3, 100:], 0.0)
    stuck = changed(run, draws=jax.tree.map(still, run.draws))
    assert (
        stuck.summary()
        .warnings[0]
        .startswith(
            "chain 1 stayed at one place for 100 of 600 draws, chain 3 stayed at one place for 500 of 600 draws: "
        )
    )


def test_infinite_draws_are_told(run):
    broken = eqx.tree_at(lambda r: r.draws["mu"], run, put(run.draws["mu"], (2, 7), np.inf))
    (warning,) = broken.summary().warnings
    assert warning.startswith("Draws are infinite for mu")
    assert broken.summary().mean[4] == np.inf


def test_draws_of_nan_are_told(run):
    broken = eqx.tree_at(lambda r: r.draws["mu"], run, put(run.draws["mu"], (2, 7), np.nan))
    assert np.isnan([broken.ess()["mu"], broken.tail_ess()["mu"], broken.rhat()["mu"], broken.summary().mean[4]]).all()
    assert np.isfinite(broken.ess()["beta"]).all()
    (warning,) = broken.summary().warnings
    assert warning.startswith("Draws are NaN for mu")


def test_energies_that_single_precision_rounds_are_told(run):
    at = lambda level, dtype: changed(run, energy=(np.asarray(run.energy) + level).astype(dtype)).summary().warnings
    (warning,) = at(1e7, jnp.float32)
    assert warning.startswith("Energies of 1e+07 are rounded to 1 in float32")
    assert at(1e7, jnp.float64) == at(1e5, jnp.float32) == ()


@pytest.mark.parametrize(
    ("position", "names", "labels"),
    [
        ({"a": {"b": 0.0}, "a.b": 0.0, "c": 0.0}, {"['a']['b']", "['a.b']", "c"}, {"['a']['b']", "['a.b']", "c"}),
        ({"a": [0.0], "a.0": 0.0}, {"['a'][0]", "['a.0']"}, {"['a'][0]", "['a.0']"}),
        ({"a": np.zeros(2), "a[0]": 0.0}, {"['a']", "['a[0]']"}, {"['a'][0]", "['a'][1]", "['a[0]']"}),
        ({"a.b": 0.0, "c": {"d": 0.0}}, {"a.b", "c.d"}, {"a.b", "c.d"}),
    ],
)
def test_each_number_has_a_name_of_its_own(run, position, names, labels, monkeypatch):
    draws = jax.tree.map(lambda x: jax.device_put(np.ones((4, 600, *np.shape(x)))), position)
    named = eqx.tree_at(lambda r: r.draws, run, draws)
    assert set(named.summary().names) == labels
    assert len(named.summary().names) == len(labels)
    monkeypatch.setitem(sys.modules, "arviz", types.SimpleNamespace(from_dict=lambda given, **axes: given))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.3.0")
    assert set(named.to_arviz()["posterior"]) == names


@pytest.mark.parametrize("version", ["0.23.4", "1.3.0"])
def test_arviz_gets_what_its_version_reads(run, version, monkeypatch):
    """ArviZ is an extra, so a stand-in records what either version of its `from_dict` would get."""
    stand_in = types.SimpleNamespace(from_dict=lambda *args, **kwargs: args[0] if args else kwargs)
    monkeypatch.setitem(sys.modules, "arviz", stand_in)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    given = run.to_arviz()
    assert given["posterior"].keys() == {"mu", "beta"}
    assert given["posterior"]["beta"].shape == (4, 600, 2, 2)
    np.testing.assert_array_equal(given["sample_stats"]["diverging"], run.divergences)
    np.testing.assert_array_equal(given["sample_stats"]["energy"], run.energy)
    np.testing.assert_array_equal(given["sample_stats"]["acceptance_rate"], run.acceptance)


def test_without_arviz_it_is_said_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r"hype-mcmc\[arviz\]"):
        run.to_arviz()


def test_a_notebook_shows_the_table_and_the_chains(run):
    shown = run._repr_html_()
    assert "600 draws of each of 4 chains" in shown
    assert all(name in shown for name in run.summary().names)
    assert shown.count("<polyline") == 4
    assert f"{float(np.mean(run.acceptance)):.3f}" in shown


def test_a_notebook_shows_warnings_and_draws_that_are_not_finite(run):
    shown = changed(run, draws=jax.tree.map(lambda draws: np.full_like(draws, np.nan), run.draws))._repr_html_()
    assert "Warning: Draws are NaN" in shown
    assert "is finite" in shown


def test_a_notebook_shows_the_first_rows_of_many(run):
    many = np.repeat(np.asarray(run.draws["mu"])[..., None], 300, axis=-1)
    samples = changed(run, draws={"mu": many})
    assert "280 more rows" in samples._repr_html_()
    shown = replace(samples.summary(), warnings=("too few",))._repr_html_()
    assert shown.index("280 more rows") < shown.index("too few")  # what belongs to the table is below it
    shown = changed(run, draws={"mu": np.repeat(many, 4, axis=-1)})._repr_html_()
    assert "Diagnostics of all 1,200 numbers" in shown


def test_a_notebook_shows_shapes_of_what_has_no_diagnostics(run):
    short = jax.tree.map(lambda leaf: np.asarray(leaf)[:, :3] if leaf.ndim > 1 else leaf, run)
    batch = jax.jit(lambda run: jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), run))(run)
    traced = []
    jax.jit(lambda run: traced.append(run._repr_html_()))(run)
    assert all(">Samples(" in shown for shown in (short._repr_html_(), batch._repr_html_(), *traced))


def test_diagnostics_need_draws_with_values(run):
    short = changed(run, energy=np.asarray(run.energy)[:, :3])
    with pytest.raises(ValueError, match="at least 4 draws a chain, got 3"):
        short.ess()
    with pytest.raises(ValueError, match="outside of `jit`"):
        jax.jit(lambda run: run.rhat())(run)
    with pytest.raises(ValueError, match="axes chains and draws"):
        changed(run, energy=np.asarray(run.energy)[0]).summary()
