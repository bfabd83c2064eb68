from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns under a head and a rule; the first column is flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    pad = lambda cells: "  ".join(
        cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "\n".join([pad(head), "  ".join("-" * width for width in widths), *map(pad, rows)])
