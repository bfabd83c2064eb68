"""Grayscale pictures from image files, by Pillow."""

import os

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._file.read import open_file


def load_image(path: str | os.PathLike[str]) -> Float[Array, "rows columns"]:
    """Read the brightness of a picture in a PNG, JPEG or other file that Pillow knows.

    Args:
        path: the file. Needs Pillow, which comes with the extra `hype-optim[plot]`.

    Returns:
        For each pixel its luma (ITU-R BT.601) from 0, black, to 1, white, row by row from the top, in JAX's default
        float dtype. Transparency is left out.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if Pillow is not installed.
        ValueError: if it is no picture, is damaged, or claims a size that only an attack would have.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("`load_image` needs Pillow, which comes with `pip install 'hype-optim[plot]'`.") from error
    with open_file(path, "a picture") as file, Image.open(file) as picture:
        deep = picture.mode.startswith("I")  # 16 bits, which Pillow would cut off at 255
        pixels = np.asarray(picture if deep else picture.convert("L"))
    return jnp.asarray(pixels, jnp.result_type(float)) / (65535 if deep else 255)
