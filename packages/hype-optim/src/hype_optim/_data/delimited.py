"""Tables of numbers in text files: strict about every cell, because a wrong number trains as well as a right one."""

import csv
import os
import re
import sys
from collections.abc import Iterator, Sequence
from io import BufferedIOBase, StringIO

import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import integer
from jaxtyping import Array, Float, Float64

from .._file.read import open_file
from .dataset import Dataset

_KIND = "a table of numbers"
_ANY_SEPARATOR = re.compile(r"[ \t]*,[ \t]*|[ \t]+")


def load_delimited(
    path: str | os.PathLike[str], *, delimiter: str | None = None, header: bool = False
) -> Float[Array, "rows columns"]:
    """Read a text file of numbers, one row a line, encoded in UTF-8.

    Args:
        path: the file.
        delimiter: the character between two cells. If not given: a comma, or any number of spaces and tabs.
        header: whether the first line is names, not numbers.

    Returns:
        The numbers in JAX's default float dtype.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no text or empty, a row is longer or shorter than the first one, or a cell is not a
            finite number in that dtype; the message names line and column.
    """
    with open_file(path, _KIND) as file:
        _, numbers = _table(file, delimiter, header)
    return jnp.asarray(numbers, jnp.result_type(float))


def load_csv(
    path: str | os.PathLike[str],
    *,
    label: int | str | None = None,
    target: int | str | Sequence[int | str] | None = None,
    header: bool = False,
    delimiter: str = ",",
) -> Dataset:
    """Read a data set from a comma-separated file of numbers, one example a line, encoded in UTF-8.

    Args:
        path: the file.
        label: the column of class numbers (0, 1, 2, ...), by place (-1 is the last) or by name; if neither `label` nor
            `target` is given, the last column.
        target: in place of `label` the column of the number to predict, or a sequence of columns.
        header: whether the first line is names, not numbers.
        delimiter: the character between two cells.

    Returns:
        The data set: `x` has the columns that `y` does not have, in the file's order and in JAX's default float dtype;
        `y` is a vector of integers for a `label`, a vector of floats for a `target`, a matrix for a sequence of them.

    Raises:
        FileNotFoundError: if there is no such file.
        TypeError: if both `label` and `target` are given, or a column is neither an integer nor a name.
        ValueError: if the file is no text or empty, a row is longer or shorter than the first one, a cell is not a
            finite number in that dtype or a label not a class number (the message names line and column), or if a
            column asked for is not there.
    """
    if label is not None and target is not None:
        raise TypeError(f"Give `label` or `target`, not both; got {label!r} and {target!r}.")
    if target is None:
        argument, wanted = "label", [-1 if label is None else label]
    else:
        argument, wanted = "target", [target] if isinstance(target, int | str) else list(target)
    wanted = [choice if isinstance(choice, str) else integer(argument, choice) for choice in wanted]
    with open_file(path, _KIND) as file:
        names, numbers = _table(file, delimiter, header)
        columns = [_column(argument, choice, names, numbers.shape[1]) for choice in wanted]
        x = np.delete(numbers, columns, axis=1)
        if x.shape[1] == 0 or not columns:
            raise ValueError(f"expected columns for both `x` and `y` of {numbers.shape[1]}, `{argument}` is {wanted}")
        if target is None:
            y = _class_numbers(numbers[:, columns[0]], columns[0], 2 if header else 1)
        else:
            y = numbers[:, columns[0] if isinstance(target, int | str) else columns].astype(jnp.result_type(float))
    return Dataset(x.astype(jnp.result_type(float)), y)


def _table(
    file: BufferedIOBase, delimiter: str | None, header: bool
) -> tuple[list[str], Float64[np.ndarray, "rows columns"]]:
    """The names in the header, and the numbers."""
    names: list[str] = []
    rows: list[list[float | None]] = []
    blank, width = None, 0
    largest = float(jnp.finfo(jnp.result_type(float)).max)
    for line, cells in _lines(StringIO(file.read().decode("utf-8-sig"), newline=""), delimiter):
        if cells == [""]:
            blank = blank or line
            continue
        if blank is not None:
            raise ValueError(f"line {blank}: the line is empty, but more follow")
        width = width or len(cells)
        if len(cells) != width:
            raise ValueError(f"line {line}: expected {width} columns as in the first line, found {len(cells)}")
        if header and not names:
            names = cells
            continue
        row = [_finite_number(cell, largest) for cell in cells]
        if None in row:
            column = row.index(None)
            hint = "" if header or rows else " (header=True takes the first line as names)"
            if _finite_number(cells[column]) is not None:
                hint = f", which {jnp.result_type(float)} does not hold (jax_enable_x64 makes it 64 bits)"
            raise ValueError(
                f"line {line}, column {column + 1}: expected a finite number, found {cells[column]!r}{hint}"
            )
        rows.append(row)
    if not rows:
        raise ValueError(f"expected rows of numbers, found {'only a header' if names else 'an empty file'}")
    return names, np.array(rows)


def _lines(text: StringIO, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line, with its number; an empty line has one empty cell."""
    if delimiter is None:
        for line, cells in enumerate(text, start=1):
            yield line, _ANY_SEPARATOR.split(cells.strip())
        return
    if len(delimiter) != 1:
        raise ValueError(f"`delimiter` must be one character, got {delimiter!r}")
    reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True)
    for cells in reader:
        yield reader.line_num, [cell.strip() for cell in cells] or [""]


def _finite_number(cell: str, largest: float = sys.float_info.max) -> float | None:
    """The number in a cell; Python's `float` also reads nan, inf and 1_000, which are none."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if abs(number) <= largest and "_" not in cell else None


def _column(argument: str, choice: int | str, names: list[str], width: int) -> int:
    if isinstance(choice, str):
        if names.count(choice) != 1:
            known = ", ".join(map(repr, names)) or "no names, as header=False"
            raise ValueError(f"`{argument}` must be the name of one column, got {choice!r}; there are {known}")
        return names.index(choice)
    if not -width <= choice < width:
        raise ValueError(f"`{argument}` must be one of {width} columns (0 is the first), got {choice}")
    return choice % width


def _class_numbers(labels: Float64[np.ndarray, " rows"], column: int, first_line: int) -> np.ndarray:
    wrong = np.flatnonzero((labels < 0) | (labels != np.floor(labels)) | (labels > np.iinfo(np.int32).max))
    if wrong.size:
        place, found = f"line {wrong[0] + first_line}, column {column + 1}", f"{labels[wrong[0]]:g}"
        raise ValueError(f"{place}: expected a class number 0, 1, 2, ..., found {found} (else use `target`)")
    return labels.astype(np.int32)
