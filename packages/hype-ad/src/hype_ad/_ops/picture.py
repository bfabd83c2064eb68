"""Pictures of vectors and matrices: as text, by the rule of the original, and many images laid out as one."""

from typing import Any, SupportsIndex, overload

import numpy as np
from jaxtyping import Array

from .._types import DM
from .._types.by_rank import in_kind
from .._types.to_array import Plain, TensorLike, to_array
from .shape_checks import divisor

UNICODE = " ·-▴▪●♦■█"
"""Characters from the lowest level to the highest, for `visualize`."""

ASCII = " .:xTYVXHNM"
"""The same in ASCII."""


def visualize(x: TensorLike, *, contrast: float = 1.2, palette: str = UNICODE) -> str:
    """Draws a vector or a matrix as text, one character an element.

    The smallest element becomes 0 and the largest 1; `contrast` spreads or narrows the values around 1/2; what is left
    is cut into as many levels as the palette has characters.

    Args:
        x: a number, a vector or a matrix of known values.
        contrast: how much the extremes are stressed; 1 shows the values as they are.
        palette: characters from the lowest level to the highest, such as `UNICODE` and `ASCII`.

    Returns:
        A line that says the kind and the size, then a line for each row. NaN is drawn as "?".

    Raises:
        ValueError: if `palette` is empty.
    """
    values = np.asarray(to_array(x), dtype=np.float64)
    if not palette:
        raise ValueError("`palette` must have at least one character, got an empty string.")
    level = np.trunc((contrast * (_unit_range(values) - 0.5) + 0.5) * len(palette)) - 1
    drawn = np.array(list(palette))[np.clip(np.nan_to_num(level), 0, len(palette) - 1).astype(int)]
    rows = np.atleast_2d(np.where(np.isnan(values), "?", drawn))
    return "\n".join([_header(values.shape), *("".join(row) for row in rows)])


def _header(shape: tuple[int, ...]) -> str:
    return " : ".join([("D", "DV", "DM")[len(shape)], " x ".join(map(str, shape))]).removesuffix(" : ")


def _unit_range(values: np.ndarray) -> np.ndarray:
    """Min-max normalized; infinities are drawn as the extremes, a constant as the lowest level."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    clipped = np.clip(values, low, high)
    if low < high:
        # In halves: the range of the largest floats is not a float.
        return (clipped / 2 - low / 2) / (high / 2 - low / 2)
    return np.where(np.isnan(values), values, np.heaviside(values - low, 0.0) if finite.size < values.size else 0.0)


@overload
def image_grid(m: DM, image_rows: SupportsIndex) -> DM: ...
@overload
def image_grid(m: Plain, image_rows: SupportsIndex) -> Array: ...
def image_grid(m: TensorLike, image_rows: SupportsIndex) -> Any:
    """Lays out the rows of a matrix, each an image in row-major order, as one picture: a grid about as tall as wide.

    For the weights of a layer it shows what each unit looks for: `print(visualize(image_grid(w, 28)))`, or
    `plt.imshow(image_grid(w, 28))`.

    Args:
        m: a matrix with one image a row.
        image_rows: height of an image; it divides the length of a row.

    Returns:
        A matrix of r x c images, r = floor(sqrt(n)) and c = ceil(n / r) for n images, with lines one element wide
        between them. Lines and empty places have the smallest value in `m`.

    Raises:
        TypeError: if `image_rows` is not an integer.
        ValueError: if `m` is not a matrix with at least one image, or `image_rows` does not divide its row length.
    """
    values = np.asarray(to_array(m))
    if values.ndim != 2 or not values.size:
        raise ValueError(f"`m` must be a matrix with at least one row and column, got shape {values.shape}.")
    count, length = values.shape
    image_rows = divisor("image_rows", image_rows, length, "the rows of `m`")
    grid_rows = int(count**0.5)
    grid_cols = -(-count // grid_rows)
    height, width = image_rows + 1, length // image_rows + 1
    grid = np.full((grid_rows * grid_cols, height, width), values.min(), values.dtype)
    grid[:count, :-1, :-1] = values.reshape(count, image_rows, -1)
    picture = grid.reshape(grid_rows, grid_cols, height, width).swapaxes(1, 2).reshape(grid_rows * height, -1)
    return in_kind(to_array(picture[:-1, :-1]), m)
