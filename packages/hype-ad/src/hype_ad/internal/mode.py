"""The two modes of differentiation: the type of their names, its check, and advice where reverse mode cannot go."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

Mode = Literal["reverse", "forward"]


def check_mode(name: str, mode: str) -> Mode:
    """`mode`, given as the argument `name`, if it is a mode of differentiation, else a ValueError."""
    if mode not in ("reverse", "forward"):
        raise ValueError(f'`{name}` must be "reverse" or "forward", got {mode!r}.')
    return cast(Mode, mode)


@contextmanager
def explain_mode() -> Iterator[None]:
    """Adds a note on the other mode to JAX's errors for what one mode cannot go through."""
    try:
        yield
    except ValueError as error:
        if "lax.while_loop" in str(error):
            error.add_note('Forward mode goes through such loops: pass mode="forward".')
        raise
    except TypeError as error:
        if "custom_vjp" in str(error):
            error.add_note('Reverse mode goes through such functions: pass mode="reverse".')
        raise
