"""A table of diagnostics, with warnings in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from hype_ad.internal import html
from hype_ad.internal.text import table
from jaxtyping import Bool, Float

from ._diagnostics import beyond_precision, bulk, ebfmi, frozen_for, lasting_rhat, mean_ess, separate_groups, tails
from ._rounding import rounding

_MAX_RHAT = 1.01  # the limits that Vehtari et al. (2021) recommend
_MANY = 32  # chains, which may each be too short for R-hat and say enough together
_MIN_ESS = 400
_MAX_ROUNDING = 0.1  # of an energy
_MIN_EBFMI = 0.3  # Betancourt (2016)
_HEAD = ("", "mean", "sd", "mcse", "5%", "95%", "ess_bulk", "ess_tail", "rhat")
_LISTED = 20  # rows in a notebook


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
        return "\n".join([table(_HEAD, self._cells()), *[f"Warning: {warning}" for warning in self.warnings]])

    def _repr_html_(self) -> str:
        """The table, or the first rows of a long one, and the warnings, as a notebook shows them."""
        left = len(self.names) - _LISTED
        parts = [html.paragraph(f"... and {left:,} more rows, all of which `print` shows.")] if left > 0 else []
        parts += [html.paragraph(f"Warning: {warning}") for warning in self.warnings]
        return html.table(_HEAD, self._cells()[:_LISTED]) + "".join(parts)

    def _cells(self) -> list[tuple[str, ...]]:
        numbers = (self.mean, self.sd, self.mcse, self.q5, self.q95)
        rows = []
        for i, name in enumerate(self.names):
            counts = (f"{self.ess_bulk[i]:.0f}", f"{self.ess_tail[i]:.0f}", f"{self.rhat[i]:.3f}")
            rows.append((name, *[f"{column[i]:.4g}" for column in numbers], *counts))
        return rows


@np.errstate(invalid="ignore", over="ignore")  # of infinite draws, which a warning tells
def summarize(
    names: Sequence[str],
    draws: Float[np.ndarray, "rows chains draws"],
    divergences: Bool[np.ndarray, "chains draws"],
    energy: Float[np.ndarray, "chains draws"],
    acceptance: Float[np.ndarray, "chains draws"],
) -> Summary:
    """The table for named quantities; `energy` in the dtype that it was computed in."""
    both = (1, 2)
    sd = draws.std(axis=both, ddof=1)
    ess_bulk, rhat = bulk(draws)
    q5, q95, ess_tail = tails(draws)
    table = Summary(
        names=tuple(names),
        mean=draws.mean(axis=both),
        sd=sd,
        mcse=sd / np.sqrt(mean_ess(draws)),
        q5=q5,
        q95=q95,
        ess_bulk=ess_bulk,
        ess_tail=ess_tail,
        rhat=rhat,
        divergences=tuple(int(n) for n in divergences.sum(axis=1)),
        ebfmi=ebfmi(energy.astype(np.float64)),
        warnings=(),
    )
    return replace(table, warnings=(*_stays(draws, energy, acceptance), *_warnings(table, draws), *_rounded(energy)))


def _stays(draws: Float[np.ndarray, "rows chains draws"], energy: np.ndarray, acceptance: np.ndarray) -> list[str]:
    stays, number, found = frozen_for(draws), draws.shape[2], []
    lost = beyond_precision(stays, acceptance, energy)
    if lost.any():
        found.append(
            f"{_chains(np.flatnonzero(lost))} never moved, with energies that are infinite or steps below the last "
            f"digit of its position: parameters are too large or too small for {energy.dtype}. Measure them in other "
            'units, or `jax.config.update("jax_enable_x64", True)`.'
        )
    stays = np.where(lost, 0, stays)
    if stays.any():
        never, frozen = np.flatnonzero(stays == number), np.flatnonzero((stays > 0) & (stays < number))
        parts = [f"{_chains(never)} never moved"] if never.size else []
        parts += [f"chain {i} stayed at one place for {stays[i]} of {number} draws" for i in frozen]
        found.append(
            f"{', '.join(parts)}: the step size is too large there, or the start was a bad one. `kernel=RefinedHMC()` "
            "makes steps as small as a place needs."
        )
    return found


def _warnings(table: Summary, draws: Float[np.ndarray, "rows chains draws"]) -> list[str]:
    found = []
    for word, is_so in (("NaN", np.isnan), ("infinite", np.isinf)):
        undefined = np.flatnonzero(is_so(draws).any(axis=(1, 2)))
        if undefined.size:
            found.append(
                f"Draws are {word} for {_rows(table, undefined)}: means, quantiles and diagnostics say nothing there."
            )
    apart = np.flatnonzero(table.rhat > _MAX_RHAT)
    if draws.shape[1] >= _MANY:
        apart = apart[lasting_rhat(draws[apart]) > _MAX_RHAT]
    if apart.size:
        worst = apart[np.argmax(table.rhat[apart])]
        found.append(
            f"R-hat is above {_MAX_RHAT} for {_rows(table, apart)} (largest: {table.rhat[worst]:.3f} for "
            f"{table.names[worst]}): the chains do not agree yet. Run longer, or look for several modes."
        )
        modes = separate_groups(draws)
        if modes is not None:
            row, groups = modes
            against = " against ".join(_chains(group) for group in groups)
            found.append(
                f"The chains are in separate modes ({against}, by {table.names[row]}): how they are weighted is not in "
                "these draws. `sequential_monte_carlo` weighs modes."
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
            f"{total} of {draws[0].size} transitions diverged ({counts}): draws may miss a region "
            "of high curvature. Raise `target_acceptance`, use `kernel=RefinedHMC()`, or reparameterize."
        )
    stiff = np.flatnonzero(table.ebfmi < _MIN_EBFMI)
    if stiff.size:
        found.append(
            f"E-BFMI is below {_MIN_EBFMI} for {_chains(stiff)}: energies are explored slowly and tails may be missed. "
            "Reparameterize."
        )
    return found


def _rounded(energy: Float[np.ndarray, "chains draws"]) -> list[str]:
    largest = float(np.max(np.abs(energy), initial=0, where=np.isfinite(energy)))
    warning = rounding("Energies", largest, energy.dtype, _MAX_ROUNDING)
    return [] if warning is None else [warning]


def _rows(table: Summary, rows: np.ndarray) -> str:
    return table.names[rows[0]] if len(rows) == 1 else f"{len(rows)} of {len(table.names)} quantities"


def _chains(chains: Sequence[int] | np.ndarray) -> str:
    return f"chain {chains[0]}" if len(chains) == 1 else f"chains {', '.join(map(str, chains))}"
