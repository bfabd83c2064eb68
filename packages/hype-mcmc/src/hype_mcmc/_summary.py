"""A table of diagnostics, with warnings in words."""

from dataclasses import dataclass

import numpy as np
from hype_ad.internal.text import table
from jaxtyping import Bool, Float

from ._diagnostics import bulk_ess, ebfmi, mean_ess, rank_rhat, tail_ess

_MAX_RHAT = 1.01  # the limits that Vehtari et al. (2021) recommend
_MIN_ESS = 400
_MIN_EBFMI = 0.3  # Betancourt (2016)


@dataclass(frozen=True)
class Summary:
    """One row for each number of a position. `print` it for the table.

    Attributes:
        names: what the rows are.
        mean: means over all chains.
        sd: standard deviations.
        mcse: Monte Carlo standard errors of the means.
        q5: 5% quantiles.
        q95: 95% quantiles.
        ess_bulk: bulk effective sample sizes.
        ess_tail: tail effective sample sizes.
        rhat: rank-normalized split R-hats.
        divergences: divergent transitions of each chain.
        ebfmi: energy Bayesian fraction of missing information of each chain.
        warnings: what is wrong, in words; empty if nothing is.
    """

    names: tuple[str, ...]
    mean: Float[np.ndarray, " rows"]
    sd: Float[np.ndarray, " rows"]
    mcse: Float[np.ndarray, " rows"]
    q5: Float[np.ndarray, " rows"]
    q95: Float[np.ndarray, " rows"]
    ess_bulk: Float[np.ndarray, " rows"]
    ess_tail: Float[np.ndarray, " rows"]
    rhat: Float[np.ndarray, " rows"]
    divergences: tuple[int, ...]
    ebfmi: Float[np.ndarray, " chains"]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        head = ("", "mean", "sd", "mcse", "5%", "95%", "ess_bulk", "ess_tail", "rhat")
        numbers = (self.mean, self.sd, self.mcse, self.q5, self.q95)
        rows = []
        for i, name in enumerate(self.names):
            counts = (f"{self.ess_bulk[i]:.0f}", f"{self.ess_tail[i]:.0f}", f"{self.rhat[i]:.3f}")
            rows.append((name, *[f"{column[i]:.4g}" for column in numbers], *counts))
        return "\n".join([table(head, rows), *[f"Warning: {warning}" for warning in self.warnings]])


def summarize(
    columns: dict[str, Float[np.ndarray, "chains draws"]],
    divergences: Bool[np.ndarray, "chains draws"],
    energy: Float[np.ndarray, "chains draws"],
) -> Summary:
    """The table for named quantities."""
    draws = list(columns.values())
    sd = np.array([x.std(ddof=1) for x in draws])
    ess_mean = np.array([mean_ess(x) for x in draws])
    table = Summary(
        names=tuple(columns),
        mean=np.array([x.mean() for x in draws]),
        sd=sd,
        mcse=sd / np.sqrt(ess_mean),
        q5=np.array([np.quantile(x, 0.05) for x in draws]),
        q95=np.array([np.quantile(x, 0.95) for x in draws]),
        ess_bulk=np.array([bulk_ess(x) for x in draws]),
        ess_tail=np.array([tail_ess(x) for x in draws]),
        rhat=np.array([rank_rhat(x) for x in draws]),
        divergences=tuple(int(n) for n in divergences.sum(axis=1)),
        ebfmi=ebfmi(energy),
        warnings=(),
    )
    return Summary(**{**vars(table), "warnings": tuple(_warnings(table, draws, energy.shape[1]))})


def _warnings(table: Summary, draws: list[np.ndarray], num_draws: int) -> list[str]:
    found = []
    frozen = np.flatnonzero(np.all([np.ptp(x, axis=1) == 0 for x in draws], axis=0))
    if frozen.size:
        found.append(f"{_chains(frozen)} never moved: the step size is too large there, or the start was a bad one.")
    apart = np.flatnonzero(table.rhat > _MAX_RHAT)
    if apart.size:
        worst = apart[np.argmax(table.rhat[apart])]
        found.append(
            f"R-hat is above {_MAX_RHAT} for {_rows(table, apart)} (largest: {table.rhat[worst]:.3f} for "
            f"{table.names[worst]}): the chains do not agree yet. Run longer, or look for several modes."
        )
    few = np.flatnonzero((table.ess_bulk < _MIN_ESS) | (table.ess_tail < _MIN_ESS))
    if few.size:
        smallest = np.fmin(table.ess_bulk, table.ess_tail)
        worst = few[np.nanargmin(smallest[few])]
        found.append(
            f"The effective sample size is below {_MIN_ESS} for {_rows(table, few)} (smallest: "
            f"{smallest[worst]:.0f} for {table.names[worst]}): means and quantiles are rough. Draw more."
        )
    total = sum(table.divergences)
    if total:
        counts = ", ".join(f"{n} in chain {i}" for i, n in enumerate(table.divergences) if n)
        found.append(
            f"{total} of {num_draws * len(table.divergences)} transitions diverged ({counts}): draws may miss a region "
            "of high curvature. Raise `target_acceptance`, or reparameterize."
        )
    stiff = np.flatnonzero(table.ebfmi < _MIN_EBFMI)
    if stiff.size:
        found.append(
            f"E-BFMI is below {_MIN_EBFMI} for {_chains(stiff)}: energies are explored slowly and tails may be missed. "
            "Reparameterize."
        )
    return found


def _rows(table: Summary, rows: np.ndarray) -> str:
    return table.names[rows[0]] if len(rows) == 1 else f"{len(rows)} of {len(table.names)} quantities"


def _chains(chains: np.ndarray) -> str:
    return f"chain {chains[0]}" if len(chains) == 1 else f"chains {', '.join(map(str, chains))}"
