"""Tables and quantities as text."""

from collections.abc import Sequence
from datetime import timedelta


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns under a head and a rule; the first column is flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    pad = lambda cells: "  ".join(
        cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "\n".join([pad(head), "  ".join("-" * width for width in widths), *map(pad, rows)])


def count(number: int | float, what: str) -> str:
    """A number of things: `1 step`, `1,000 steps`."""
    return f"{number:,.10g} {what}{'s' * (number != 1)}"


def memory(size: int | float) -> str:
    """A number of bytes in the largest unit that leaves at least one."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size = size / 1000
    return f"{size:.3g} GB"


def duration(seconds: float) -> str:
    """A time in the unit that suits it: `12.3 ms`, `4.56 s`, `0:03:20`."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))
