"""Which of several arguments a derivative is taken in, said as JAX says it."""

import operator as op
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import PyTree

from .point import Function, check_floats


def at_argument(
    operator: str,
    f: Function,
    argnums: int | Sequence[int],
    has_aux: bool,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Function, PyTree]:
    """`f` as a function of the arguments `argnums` alone, with the pair (output, auxiliary output), and the point.

    Without auxiliary output that is `None`. With several `argnums` the point is the tuple of these arguments.
    """
    several = isinstance(argnums, Sequence)
    places = [op.index(place) for place in argnums] if several else [op.index(argnums)]
    for place in places:
        if not -len(args) <= place < len(args):
            raise ValueError(
                f"{operator}: argnums={argnums} must name positional arguments of the call; it has {len(args)} of them."
            )

    def of_point(x: PyTree) -> tuple[Any, Any]:
        full = list(args)
        for place, argument in zip(places, x if several else (x,), strict=True):
            full[place] = argument
        out = f(*full, **kwargs)
        if not has_aux:
            return out, None
        if not isinstance(out, tuple) or len(out) != 2:
            raise TypeError(f"{operator}: with has_aux=True f must return a pair (output, auxiliary); got {out!r}.")
        return out

    chosen = [args[place] for place in places]
    for place, argument in zip(places, chosen, strict=True):
        check_floats(operator, f"argument {place}", argument)
    return of_point, tuple(chosen) if several else chosen[0]


def with_aux(result: Any, aux: Any, has_aux: bool) -> Any:
    """What an operator gives: `result`, or with auxiliary output the pair."""
    return (result, aux) if has_aux else result
