"""Results as HTML, for notebooks: tables, text and small curves as inline SVG, without scripts or styles of the page.

Text and frames take the color of what is around them, and the colors of curves stand out on white and on black.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import jax
import numpy as np

from .checks import known

_WIDTH, _HEIGHT = 420, 110  # of the frame of a curve
_LEFT, _BOTTOM, _TOP = 64, 40, 22  # room for numbers and words around it
_COLORS = ("#3b82c4", "#c2601a", "#2e9447")
_PLACES = 200  # a curve of more points is drawn by the ends, the lowest and the highest in so many intervals
_LINES = 30  # of one name
_LETTERS = 70  # of a text in a picture
_NAME = "text-align: left; min-width: 8em; overflow-wrap: anywhere"  # a long name does not push the numbers away
_DECADE = 10.0  # positive values that differ by more get a logarithmic scale
_SVG = 'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="11" fill="currentColor"'

Curves = Mapping[str, tuple[Any, Any]]


def has_values(*arrays: Any) -> bool:
    """Whether all arrays can be read now, as they cannot while they are traced, or on other processes alone."""
    return all(_is_readable(array) for array in arrays)


def page(title: str, *parts: str) -> str:
    """Parts below a title."""
    return f"<div><p><strong>{escape(title)}</strong></p>{''.join(parts)}</div>"


def paragraph(text: str) -> str:
    """Text of one paragraph."""
    return f"<p>{escape(text)}</p>"


def preformatted(text: str) -> str:
    """Text with its lines and columns as they are."""
    return f'<pre style="font-family: monospace; overflow-x: auto">{escape(text)}</pre>'


def folded(label: str, text: str) -> str:
    """Text that is shown by a click on its label."""
    return f"<details><summary>{escape(label)}</summary>{preformatted(text)}</details>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text under a head, if there is one; the first column is flush left and is broken, the others right."""
    style = lambda place: "text-align: right; white-space: nowrap; padding-left: 1em" if place else _NAME
    cells = lambda kind, row: "".join(
        f'<{kind} style="{style(place)}">{escape(cell)}</{kind}>' for place, cell in enumerate(row)
    )
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    above = f"<thead><tr>{cells('th', head)}</tr></thead>" if head else ""
    return f"<table>{above}<tbody>{body}</tbody></table>"


def number(values: Any) -> str:
    """A number, or from where to where those of an array reach; NaN stands for what was not made, and is left out."""
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        lowest, highest = np.min(array), np.max(array)
        return str(lowest) if lowest == highest else f"{lowest} to {highest}"
    finite = array[np.isfinite(array)].astype(float)
    if array.ndim == 0 or finite.size == 0:
        return f"{float(array):.6g}" if array.ndim == 0 else "not finite"
    lowest, highest = f"{finite.min():.4g}", f"{finite.max():.4g}"
    text = lowest if lowest == highest else f"{lowest} to {highest}"
    return f"{text}, or infinite" if np.isinf(array).any() else text


def curves(x_label: str, y_label: str, by_name: Curves) -> str:
    """Small curves in a frame, as SVG.

    Args:
        x_label: what is below the frame.
        y_label: what is above it.
        by_name: for each name the places, and the values: one line, or several along leading axes. What is not finite
            is left out.
    """
    lines = {name: _lines(x, y) for name, (x, y) in by_name.items()}
    points = [line for of_name in lines.values() for line in of_name if line.size]
    if not points:
        return paragraph(f"No {y_label} is finite.")
    x, y = np.concatenate(points, axis=1)
    is_log = bool(y.min() > 0 and y.max() > _DECADE * y.min())
    x_at, y_at = _scale(x, _WIDTH, False), _scale(y, _HEIGHT, is_log)
    at = lambda line: np.stack([_LEFT + x_at(line[0]), _TOP + _HEIGHT - y_at(line[1])])
    drawn = [
        _polyline(at(line), color, 1 / len(of_name) ** 0.25)
        for color, of_name in zip(_cycle(len(lines)), lines.values(), strict=True)
        for line in of_name
        if line.size
    ]
    scale = f"{y_label}, logarithmic scale" if is_log else y_label
    return _svg(f"{scale}: {', '.join(lines)}", [*_frame(x, y, x_label, scale), *_legend(lines), *drawn])


def _is_readable(array: Any) -> bool:
    if isinstance(array, jax.Array):
        return known(array) and not array.is_deleted() and (array.is_fully_addressable or array.is_fully_replicated)
    return isinstance(array, np.ndarray | np.generic | int | float)


def _lines(x: Any, y: Any) -> list[np.ndarray]:
    """The places and values of at most `_LINES` lines, evenly chosen, each thinned."""
    y = np.asarray(y, float)
    y = y.reshape(-1, y.shape[-1])
    x = np.broadcast_to(np.asarray(x, float), y.shape) if np.ndim(x) <= 1 else np.asarray(x, float).reshape(y.shape)
    chosen = np.linspace(0, len(y) - 1, min(len(y), _LINES)).astype(int)
    return [_thinned(np.stack([x[i], y[i]])) for i in chosen]


def _thinned(line: np.ndarray) -> np.ndarray:
    line = line[:, np.isfinite(line).all(axis=0)]
    if line.shape[1] <= 2 * _PLACES:
        return line
    intervals = np.array_split(np.arange(line.shape[1]), _PLACES)
    kept = [(part[0], part[np.argmin(line[1, part])], part[np.argmax(line[1, part])], part[-1]) for part in intervals]
    return line[:, np.unique(kept)]


def _scale(values: np.ndarray, length: int, is_log: bool) -> Any:
    """From values to places between 0 and `length`; a value alone is in the middle."""
    by = np.log if is_log else lambda v: v / 2  # halves, whose difference is finite
    low, high = by(values.min()), by(values.max())
    return lambda v: length * ((by(v) - low) / (high - low) if high > low else np.full(np.shape(v), 0.5))


def _polyline(line: np.ndarray, color: str, opacity: float) -> str:
    opacity = max(0.4, opacity)
    if line.shape[1] == 1:
        return f'<circle cx="{line[0, 0]:.1f}" cy="{line[1, 0]:.1f}" r="2.5" fill="{color}"/>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line.T)
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5" stroke-opacity="{opacity:.2f}"/>'
    )


def _cycle(count: int) -> list[str]:
    return [_COLORS[i % len(_COLORS)] for i in range(count)]


def _frame(x: np.ndarray, y: np.ndarray, x_label: str, y_label: str) -> list[str]:
    bottom, right = _TOP + _HEIGHT, _LEFT + _WIDTH
    return [
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="currentColor" '
        'stroke-opacity="0.4"/>',
        _text(_LEFT - 6, _TOP + 9, f"{y.max() + 0.0:.3g}", "end"),
        _text(_LEFT - 6, bottom, f"{y.min() + 0.0:.3g}", "end"),
        _text(_LEFT, bottom + 14, f"{x.min():.6g}", "start"),
        _text(right, bottom + 14, f"{x.max():.6g}", "end"),
        _text(_LEFT + _WIDTH / 2, bottom + 14, x_label, "middle"),
        _text(_LEFT, _TOP - 8, y_label, "start"),
    ]


def _legend(names: Mapping[str, Any]) -> list[str]:
    """The names below the frame, each behind a mark of its color; none for one name alone."""
    if len(names) == 1:
        return []
    parts, x, y = [], float(_LEFT), _TOP + _HEIGHT + 30
    for name, color in zip(names, _cycle(len(names)), strict=True):
        parts.append(f'<rect x="{x:g}" y="{y - 6}" width="10" height="4" fill="{color}"/>')
        parts.append(_text(x + 14, y, name, "start"))
        x += 28 + 6.2 * len(name)
    return parts


def _text(x: int | float, y: int | float, text: str, anchor: str) -> str:
    text = text if len(text) <= _LETTERS else f"{text[: _LETTERS // 2]} … {text[-_LETTERS // 2 :]}"
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(description: str, parts: Sequence[str]) -> str:
    width, height = _LEFT + _WIDTH + 8, _TOP + _HEIGHT + _BOTTOM
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" style="max-width: 100%; height: auto"'
    return f'<svg {_SVG} {size} role="img" aria-label="{escape(description)}">{"".join(parts)}</svg>'
