"""What a tuning results in."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal import html
from hype_ad.internal.text import count, duration, table
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._file.plot import plot_tuning, without_jumps
from .._hyperparameter.ranges import AbstractRange, is_range, value_of
from .._progress.describe import Span
from .._progress.numbers import with_numbers
from .settings import named_ranges
from .state import TuneState

_LISTED = 4  # so many entries of an array are shown one by one
_SHOWN = 20  # settings in a notebook
_HEAD = ("setting", "start", "tuned", "sensitivity")

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Tuned(eqx.Module):
    """What `tune` gives: the settings, what they are worth at seeds that the tuning has not seen, and what it cost.

    Attributes:
        settings: of the kind of `start`, with ranges in it, so that they can be tuned on; `values` has the numbers.
        start: where the tuning started.
        value: the mean over the held-out seeds of what was minimized; infinite if a training failed at one of them.
        value_error: its standard error.
        start_value: the mean of the start at the same seeds.
        start_error: its standard error.
        history: the value of each step at its own seed, of each search; NaN where none was made.
        returns: how many steps of each search were taken back.
        sensitivities: for each range, by the path to it, the root of the mean squared gradient over the steps in its
            unconstrained coordinates, of the search that was chosen: how much the value changed with it on the way.
        growth: how much perturbations grow in a whole training with the settings, in logarithms, where the objective
            gives a `Result` of `Params(track_sensitivity=True)`; else `None`. Well above 0, exact gradients say little.
        smooths: from which step on gradients were smoothed; the number of steps, if none was.
        trainings: what was computed, in plain trainings, that of the held-out seeds included.
        seconds: how long it took, without compiling.
        compiling: how long compiling took, in seconds.
        state: what `tune` takes as `state=` to go on.
    """

    settings: PyTree
    start: PyTree
    value: Float[Array, ""]
    value_error: Float[Array, ""]
    start_value: Float[Array, ""]
    start_error: Float[Array, ""]
    history: Float[Array, "steps searches"]
    returns: Int[Array, " searches"]
    sensitivities: Mapping[str, Float[Array, "..."]]
    growth: Float[Array, ""] | None
    smooths: Int[Array, ""]
    trainings: Float[Array, ""]
    seconds: Float[Array, ""]
    compiling: Float[Array, ""]
    state: TuneState

    @property
    def values(self) -> Any:
        """The settings with the values of the ranges in their place, as the objective is given them."""
        return jax.tree.map(value_of, self.settings, is_leaf=is_range)

    @property
    def improved(self) -> Bool[Array, ""]:
        """Whether the settings are others than the start, and so better at the held-out seeds."""
        pairs = zip(named_ranges(self.settings).values(), named_ranges(self.start).values(), strict=True)
        return jnp.any(jnp.stack([jnp.any(after.raw != before.raw) for after, before in pairs]))

    def __repr__(self) -> str:
        """The numbers by their values, arrays by their shapes."""
        return with_numbers(self, {"state": "TuneState(...)"})

    def _repr_html_(self) -> str:
        """What `summary` says, with the values of the steps, as a notebook shows it."""
        ranges = (part.raw for settings in (self.start, self.settings) for part in named_ranges(settings).values())
        numbers = self.value, self.start_value, self.history, self.trainings, *self.sensitivities.values(), *ranges
        if not html.has_values(*numbers) or np.ndim(self.value):
            return html.preformatted(repr(self))
        values = without_jumps(self.history, self.start_value, self.value)
        ends = np.array([0, max(1, len(self.history) - 1)])
        curves = {
            "at the steps' seeds": (np.arange(len(self.history)), values.T),
            "start, held out": (ends, np.full(2, self.start_value)),
            "tuned, held out": (ends, np.full(2, self.value)),
        }
        rows = self._rows()
        left = f"... and {len(rows) - _SHOWN:,} more, which matter less and which `print(tuned.summary())` shows."
        parts = [
            *map(html.paragraph, self._lines()),
            html.table(_HEAD, rows[:_SHOWN]),
            html.paragraph(left) if len(rows) > _SHOWN else "",
            html.curves("step", "value", curves),
        ]
        return html.page("Tuned", *parts, html.folded("fields", repr(self)))

    def summary(self) -> str:
        """What came of it in a few lines, and a table of the settings with the most sensitive ones first."""
        return "\n".join([*self._lines(), "", table(_HEAD, self._rows())])

    def _lines(self) -> list[str]:
        made = int(np.sum(np.isfinite(self.history).any(axis=1)))
        lines = [
            f"{count(made, 'step')}, {count(int(np.sum(self.returns)), 'step')} taken back; "
            f"{float(self.trainings):,.0f} plain trainings' worth in {duration(float(self.seconds))}, "
            f"and {duration(float(self.compiling))} of compiling.",
            f"At held-out seeds: {_with_error(self.value, self.value_error)}, the start "
            f"{_with_error(self.start_value, self.start_error)}.",
        ]
        if int(self.smooths) < len(self.history):
            lines.append(f"Gradients were smoothed from step {int(self.smooths)} on.")
        if self.growth is not None:
            lines.append(f"Perturbations of a training grow by {float(self.growth):.3g}, in logarithms.")
        return lines

    def _rows(self) -> list[list[str]]:
        before, after = named_ranges(self.start), named_ranges(self.settings)
        by_influence = sorted(self.sensitivities, key=lambda name: -float(np.max(self.sensitivities[name])))
        return [
            [name, _span(before[name]), _span(after[name]), f"{float(np.max(self.sensitivities[name])):.3g}"]
            for name in by_influence
        ]

    def plot(self) -> "Figure":
        """Draw the values of the steps, and the settings' sensitivities.

        Values far above all others, of steps that were taken back, are left out.

        Needs Matplotlib, the extra `hype-optim[plot]`. Nothing is shown or written.

        Returns:
            The figure.

        Raises:
            ImportError: if Matplotlib is not installed.
        """
        return plot_tuning(self.history, (self.start_value, self.value), self.sensitivities)


def _with_error(value: Array, error: Array) -> str:
    return f"{float(value):.4g} ± {float(error):.2g}"


def _span(part: AbstractRange) -> str:
    entries = np.asarray(part.value)
    if 1 < entries.size <= _LISTED:
        return ", ".join(f"{entry:.4g}" for entry in entries.ravel())
    return str(Span(entries.size, float(entries.min()), float(entries.max())))
