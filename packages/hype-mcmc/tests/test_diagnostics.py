"""Effective sample sizes and R-hat, against closed forms and against ArviZ's numbers."""

import numpy as np
import pytest
from hype_mcmc._diagnostics import (
    bulk_ess,
    ebfmi,
    frozen_for,
    lasting_rhat,
    mean_ess,
    rank_rhat,
    separate_groups,
    tail_ess,
)

pytestmark = pytest.mark.smoke


def autoregressive(chains, draws, phi, seed, transform=lambda x: x):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(chains, draws + 200))
    x = np.zeros_like(noise)
    for t in range(1, x.shape[1]):
        x[:, t] = phi * x[:, t - 1] + noise[:, t]
    return transform(x[:, 200:])


def drifting(x):
    return x + np.linspace(0, 1, x.shape[1])


# Bulk ESS, tail ESS, ESS of the mean, R-hat, BFMI of the first chain: computed once from the same draws with ArviZ
# 0.23.4, by its `ess` (methods "bulk", "tail" with prob=(0.05, 0.95), "mean"), `rhat` and `bfmi`.
ARVIZ = [
    (autoregressive(4, 1000, 0.5, seed=0), [1408.1415, 2293.57216, 1405.11204, 1.00211535, 0.991511344]),
    (autoregressive(4, 1001, 0.9, seed=1), [262.913576, 539.650778, 263.379045, 1.00717247, 0.19222282]),
    (autoregressive(2, 300, -0.5, seed=2), [1666.89075, 599.857392, 1666.89075, 1.0020978, 2.95894763]),
    (autoregressive(8, 100, 0.99, seed=3), [10.8791017, 25.1522494, 10.7399939, 2.25266926, 0.0456471885]),
    (
        autoregressive(4, 500, 0.3, seed=4, transform=np.exp),
        [1092.53451, 1479.17465, 1124.5344, 1.00062274, 1.41814561],
    ),
    (
        autoregressive(4, 500, 0.3, seed=5, transform=np.round),
        [1036.93661, 1527.27819, 1037.16111, 1.00062683, 1.36725984],
    ),
    (
        autoregressive(4, 500, 0.3, seed=6, transform=drifting),
        [74.1210515, 1060.5672, 73.0900217, 1.04080056, 1.23623175],
    ),
    (autoregressive(64, 200, 0.95, seed=7), [265.31888, 491.107828, 266.309048, 1.18246559, 0.115693099]),
]


@pytest.mark.parametrize(("draws", "expected"), ARVIZ)
def test_diagnostics_equal_arviz(draws, expected):
    got = [bulk_ess(draws), tail_ess(draws), mean_ess(draws), rank_rhat(draws), ebfmi(draws)[0]]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, -0.5])
def test_ess_of_an_autoregression(phi):
    """The number of draws times (1 - phi) / (1 + phi)."""
    draws = autoregressive(8, 10_000, phi, seed=1)
    expected = draws.size * (1 - phi) / (1 + phi)
    assert abs(mean_ess(draws) / expected - 1) < 0.1
    assert abs(bulk_ess(draws) / expected - 1) < 0.1


def test_ranks_do_not_see_a_monotone_map():
    draws = autoregressive(4, 500, 0.6, seed=2)
    assert bulk_ess(np.exp(draws)) == pytest.approx(bulk_ess(draws), rel=1e-12)
    assert tail_ess(np.exp(draws)) == pytest.approx(tail_ess(draws), rel=1e-12)


def test_rhat_sees_means_scales_and_drifts():
    draws = autoregressive(4, 1000, 0.0, seed=3)
    assert rank_rhat(draws) < 1.01
    offset, scale = np.array([0.0, 0, 0, 1])[:, None], np.array([1.0, 1, 1, 3])[:, None]
    assert rank_rhat(draws + offset) > 1.05
    assert rank_rhat(draws * scale) > 1.05
    assert rank_rhat(draws + 2 * np.linspace(0, 1, 1000)) > 1.05


def test_chains_in_separate_modes_are_named():
    draws = np.stack([autoregressive(4, 500, 0.5, seed=seed) for seed in range(3)])
    assert separate_groups(draws) is None
    modes = draws + 10.0 * np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 0.05, 0.1, 0]])[:, :, None]
    assert separate_groups(modes) == (1, [[0, 2], [1, 3]])
    modes[1, 2] += 40.0
    assert separate_groups(modes) == (1, [[0], [1, 3], [2]])
    # A chain that visits both, or one that is slow, is in no mode of its own.
    both = np.where(np.arange(500) < 250, draws[1, 0], draws[1, 0] + 10)
    assert separate_groups(np.stack([draws[1, 1], draws[1, 2] + 10, both, both])[None]) is None
    assert separate_groups(draws + np.linspace(0, 5, 500)) is None
    assert separate_groups(np.full((1, 2, 4), np.nan)) is None


def test_draws_that_do_not_vary_say_nothing():
    same = np.ones((4, 100))
    assert np.isnan([bulk_ess(same), tail_ess(same), mean_ess(same), rank_rhat(same), ebfmi(same)[0]]).all()
    apart = same * np.arange(4)[:, None]
    assert rank_rhat(apart) > 1e6


def test_rows_by_themselves_and_together_are_alike():
    rows = np.stack([draws for draws, _ in ARVIZ if draws.shape == (4, 500)] * 30)
    rows[1] = np.round(rows[1])
    for diagnostic in (bulk_ess, tail_ess, mean_ess, rank_rhat):
        np.testing.assert_array_equal(diagnostic(rows)[:4], [diagnostic(row) for row in rows[:4]])
        assert diagnostic(rows[:0]).shape == (0,)


@pytest.mark.parametrize("place", [(0, 0), (2, 250), (3, 500)])
def test_a_draw_of_nan_leaves_nothing_to_say(place):
    """As in ArviZ. Draw 250 is the middle one, which splitting leaves out."""
    draws = autoregressive(4, 501, 0.5, seed=0)
    draws[place] = np.nan
    assert np.isnan([bulk_ess(draws), tail_ess(draws), mean_ess(draws), rank_rhat(draws)]).all()


def test_a_normal_energy_without_memory_has_ebfmi_two():
    assert abs(ebfmi(np.random.default_rng(0).normal(size=(1, 50_000)))[0] - 2) < 0.05


def test_chains_that_crawl_or_are_frozen_are_not_in_separate_modes():
    rng = np.random.default_rng(0)
    modes = rng.normal(size=(1, 4, 1000)) + np.array([0.0, 0.0, 8.0, 0.0])[:, None]
    assert separate_groups(modes) == (0, [[0, 1, 3], [2]])
    frozen = rng.normal(size=(1, 4, 1000))
    frozen[:, 2] = 50.0
    assert separate_groups(frozen) is None
    crawling = np.cumsum(rng.normal(size=(200, 4, 1000)), axis=-1) + 30 * rng.normal(size=(200, 4, 1))
    assert separate_groups(crawling) is None


def test_chains_that_are_frozen_for_a_part_of_the_run_are_found():
    draws = autoregressive(4, 1000, 0.5, seed=0)[None] * np.ones((2, 1, 1))
    assert not np.any(frozen_for(draws))
    draws[:, 1, 100:160], draws[:, 2], draws[:, 3, -70:] = 0.0, 0.0, 0.0
    draws[0, 0, :300] = 1.0  # in one of two coordinates
    np.testing.assert_array_equal(frozen_for(draws), [0, 60, 1000, 70])
    np.testing.assert_array_equal(frozen_for(np.ones((1, 2, 20))), [20, 20])
    few = draws[:, :, 150:160]  # in which chain 2 does not move, nor does it in one draw, which says nothing
    np.testing.assert_array_equal(frozen_for(few[:, [0, 2]] + np.arange(10.0) * np.array([[1], [0]])), [0, 10])
    assert not np.any(frozen_for(few[:, :, :1]))
    # A sampler that accepts one of twenty stays at each place for long.
    moves = np.random.default_rng(0).random((1, 4, 1000)) < 0.05
    assert not np.any(frozen_for(np.cumsum(moves, axis=-1).astype(float)))


def test_many_short_chains_disagree_where_they_do_not_forget():
    """R-hat calls each too short; only what lasts is left, whether by chains, by scales or by a drift."""
    draws = autoregressive(1024, 12, 0.5, seed=0)
    assert rank_rhat(draws) > 1.05
    assert lasting_rhat(draws) < 1.005
    odd, late = (np.arange(1024) % 2)[:, None], np.linspace(0, 1, 12)
    for lasting in (
        draws + odd,
        draws * (1 + odd),
        draws + late,
        draws * (1 + late),
        autoregressive(1024, 12, 0.99, 1),
    ):
        assert lasting_rhat(lasting) > 1.01
    assert np.isnan(lasting_rhat(np.full((64, 12), np.nan)))
