"""Grayscale pictures from image files, by Pillow."""

import os

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._file.read import open_file

# Pillow knows more, and starts another program (Ghostscript) to read some of them, whatever the file's name.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


def load_image(path: str | os.PathLike[str]) -> Float[Array, "rows columns"]:
    """Read the brightness of a picture in a PNG, JPEG, GIF, BMP, TIFF, WebP or PPM file, told by its content.

    Args:
        path: the file. Needs Pillow, which comes with the extra `hype-optim[plot]`.

    Returns:
        For each pixel its luma (ITU-R BT.601) from 0, black, to 1, white, row by row from the top, in JAX's default
        float dtype. Transparency is left out.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if Pillow is not installed.
        ValueError: if it is no picture of these kinds, is damaged, claims a size that only an attack would have, or has
            pixels of 32 bits or of floats (as TIFF files can), of which nothing says what is white.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("`load_image` needs Pillow, which comes with `pip install 'hype-optim[plot]'`.") from error
    with open_file(path, "a picture") as file, Image.open(file, formats=_FORMATS) as picture:
        # 16 bits, which Pillow would cut off at 255; of some formats it gives them as 32.
        deep = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM"))
        if picture.mode in ("F", "I") and not deep:
            raise ValueError(
                f"its pixels are {'floats' if picture.mode == 'F' else 'integers of up to 32 bits'}, of which nothing "
                "says what is white; read it with Pillow and scale it, or save it with 8 or 16 bits"
            )
        pixels = np.asarray(picture if deep else picture.convert("L"))
    return jnp.asarray(pixels, jnp.result_type(float)) / (65535 if deep else 255)
