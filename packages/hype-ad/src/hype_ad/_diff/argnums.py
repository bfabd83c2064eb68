"""`argnums` and `has_aux` as JAX has them: which arguments to differentiate in, and output that is passed through."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex, TypeAlias

from jaxtyping import PyTree

from ..internal.checks import integer
from .checks import check_floats
from .forms import Function

Argnums: TypeAlias = SupportsIndex | Sequence[SupportsIndex]


def at_argument(
    f: Function, argnums: Argnums, has_aux: bool, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Function, PyTree]:
    """Gives `f` as a function of the arguments `argnums` alone, and the point: these arguments.

    The function gives the pair (output, auxiliary output), the latter `None` without `has_aux`. With several `argnums`
    the point is a tuple. They must be positions of arguments made of real floats.
    """
    several = isinstance(argnums, Sequence)
    places = [integer("argnums", place) for place in (argnums if several else (argnums,))]
    for place in places:
        if not -len(args) <= place < len(args):
            raise ValueError(
                f"`argnums` must be positions from {-len(args)} to {len(args) - 1} in this call, got {place}."
            )

    def of_point(x: PyTree) -> tuple[Any, Any]:
        full = list(args)
        for place, argument in zip(places, x if several else (x,), strict=True):
            full[place] = argument
        out = f(*full, **kwargs)
        if not has_aux:
            return out, None
        if not isinstance(out, tuple) or len(out) != 2:
            raise TypeError(f"`f` must give a pair (output, auxiliary output) with `has_aux`, got {out!r}.")
        return out

    chosen = [args[place] for place in places]
    for place, argument in zip(places, chosen, strict=True):
        check_floats("x" if len(args) == 1 else f"args[{place}]", argument)
    return of_point, tuple(chosen) if several else chosen[0]


def with_aux(result: Any, aux: Any, has_aux: bool) -> Any:
    """`result`, or with `has_aux` the pair of it and the auxiliary output."""
    return (result, aux) if has_aux else result
