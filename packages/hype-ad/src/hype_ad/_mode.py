from typing import Literal

Mode = Literal["reverse", "forward"]


def check_mode(argument: str, mode: str) -> None:
    """Raise if `mode`, given as `argument`, is no mode of differentiation."""
    if mode not in ("reverse", "forward"):
        raise ValueError(f'{argument} must be "reverse" or "forward"; got {mode!r}.')
