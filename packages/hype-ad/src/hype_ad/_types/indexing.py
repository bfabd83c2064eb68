"""What JAX lets pass in an index although it is wrong."""

import numpy as np

from .to_array import HasJaxArray


def check_index(index: object, shape: tuple[int, ...]) -> None:
    """Refuses an index that is not made of integers, or that is out of range.

    JAX clamps an integer out of range to the nearest element. That is all it can do for a traced one; for a number it
    would be a wrong answer given quietly.

    Raises:
        TypeError: if a float stands where an integer should.
        IndexError: if an integer is out of range.
    """
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if isinstance(part, float | HasJaxArray):
            raise TypeError(f"an index must be an integer, a slice or an array of integers, got {part!r}")
    if not all(isinstance(part, int | np.integer | slice) for part in parts):
        return
    for axis, (part, length) in enumerate(zip(parts, shape, strict=False)):
        if not isinstance(part, slice) and not -length <= part < length:
            raise IndexError(f"index {part} is out of range for axis {axis} of length {length}")
