"""The two forms of an operator: `curl` follows from `value_and_curl`, which takes its documentation from `curl`.

`value_and_curl(f)` gives f(x) too, from the same evaluation. `curl(f)` is the same without it, takes the same arguments
and raises the same errors, so these are written down once, in the docstring of `curl`.
"""

from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


def without_value(derivatives: Function, has_aux: bool = False) -> Function:
    """Drops f(x) from what a function gives: (f(x), derivative) becomes derivative, of several derivatives a tuple.

    With `has_aux` the pair (f(x), auxiliary output) stands in place of f(x), and the latter is given last.
    """

    def derivative(*args: Any, **kwargs: Any) -> Any:
        value, *rest = derivatives(*args, **kwargs)
        if has_aux:
            rest.append(value[1])
        return rest[0] if len(rest) == 1 else tuple(rest)

    return derivative
