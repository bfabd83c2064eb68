"""Whether numbers are too large for their precision."""

from typing import Any

import jax.numpy as jnp


def rounding(what: str, size: float, dtype: Any, accepted: float) -> str | None:
    """A warning if numbers of this size have a last digit above what is accepted.

    What a transition accepts depends on differences of about 1 between energies, which are not to drown in it.
    """
    digit = size * float(jnp.finfo(dtype).eps)
    if digit < accepted:
        return None
    return (
        f"{what} of {size:.2g} are rounded to {digit:.1g} in {dtype}, so that acceptance is noise and steps are "
        'shorter than needed. Use jax.config.update("jax_enable_x64", True), or make the terms of the sum small before '
        "it is made: leave out their constants, or subtract from each its value at a point near the mode."
    )
