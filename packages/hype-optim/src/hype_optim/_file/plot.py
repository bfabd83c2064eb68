"""Figures of loss and learning-rate histories, by Matplotlib."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Array, Float

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DECADE = 10.0
_BARS = 20  # so many settings are shown


def plot_histories(
    loss: Float[Array, "*runs steps"],
    rate: Float[Array, "*runs steps"] | None,
    valid: Float[Array, "*runs checks"] | None,
    valid_steps: Any,
    title: str,
) -> "Figure":
    """Loss curves on the left, and on the right the learning rate, if it is known; a curve for each run."""
    pyplot = _pyplot()
    panels = 1 if rate is None else 2
    figure, axes = pyplot.subplots(
        1, panels, figsize=(4.8 * panels, 3.6), layout="constrained", squeeze=False, sharex=True
    )
    left = axes[0, 0]
    steps = np.arange(np.shape(loss)[-1])
    _curves(left, steps, loss, "tab:blue", "training")
    if valid is not None:
        _curves(left, valid_steps, valid, "tab:orange", "validation")
        for handle in left.legend().legend_handles:
            handle.set_alpha(1)
    left.set(xlabel="step", ylabel="loss", title="loss")
    _scale(left, *(np.asarray(h) for h in (loss, valid) if h is not None))
    if rate is not None:
        right = axes[0, 1]
        _curves(right, steps, rate, "tab:green", "learning rate")
        right.set(xlabel="step", ylabel="learning rate", title="learning rate")
        _scale(right, np.asarray(rate))
    figure.suptitle(title)
    return figure


def plot_tuning(
    history: Float[Array, "steps searches"], held_out: tuple[Any, Any], sensitivities: Mapping[str, Any]
) -> "Figure":
    """The values of the steps on the left, beside those at held-out seeds before and after; sensitivities right."""
    figure, (left, right) = _pyplot().subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    values = without_jumps(history, *held_out)
    steps = np.arange(len(values))
    for i, line in enumerate(values.T):
        left.plot(steps, line, color="tab:blue", marker=".", alpha=0.7, label="at the step's seed" if i == 0 else None)
    for value, color, label in zip(held_out, ("tab:gray", "tab:red"), ("start", "tuned"), strict=True):
        left.axhline(float(value), color=color, linestyle="--", label=f"{label}, held-out seeds: {float(value):.4g}")
    left.set(xlabel="step", ylabel="value", title="value")
    _scale(left, values, np.asarray([float(value) for value in held_out]))
    left.legend()
    largest = {name: float(np.max(entries)) for name, entries in sensitivities.items()}
    ranked = sorted(largest, key=largest.__getitem__)[-_BARS:]
    right.barh(ranked, [largest[name] for name in ranked], color="tab:blue")
    right.set(title="sensitivity of the value to each setting", xlabel="root mean squared gradient")
    return figure


def without_jumps(history: Any, start: Any, value: Any) -> np.ndarray:
    """The values of steps, NaN for those so far above all others that they would hide them: they were taken back."""
    values = np.asarray(history, float)
    finite = values[np.isfinite(values)]
    known = np.asarray([start, value], float)
    known = known[np.isfinite(known)]
    if finite.size == 0 or known.size == 0:
        return values
    top, low = max(float(np.median(finite)), float(known.max())), min(float(finite.min()), float(known.min()))
    return np.where(values > top + 3 * (top - low), np.nan, values)


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("`plot` needs Matplotlib, which comes with `pip install 'hype-optim[plot]'`.") from error
    return pyplot


def _curves(axes: "Axes", x: Any, histories: Any, color: str, label: str) -> None:
    """A line for each run, with points where there are few."""
    lines = np.asarray(histories).reshape(-1, np.shape(histories)[-1])
    x = np.asarray(x).reshape(-1, lines.shape[1])[0]
    marker = "." if lines.shape[1] <= 30 else ""
    alpha = 1.0 if len(lines) == 1 else max(0.1, 0.8 / len(lines) ** 0.5)
    for i, line in enumerate(lines):
        axes.plot(x, line, color=color, marker=marker, alpha=alpha, label=label if i == 0 else None)


def _scale(axes: "Axes", *histories: np.ndarray) -> None:
    """A logarithmic scale for positive values that differ a lot."""
    values = np.concatenate([history[np.isfinite(history)] for history in histories])
    if values.size and values.min() > 0 and values.max() > _DECADE * values.min():
        axes.set_yscale("log")
    elif values.size and values.min() >= 0:
        axes.set_ylim(bottom=0)
