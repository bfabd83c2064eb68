"""The two forms of an operator: `curl` follows from `value_and_curl`, which takes its documentation from `curl`.

`value_and_curl(f)` gives f(x) too, from the same evaluation. `curl(f)` is the same without it, takes the same arguments
and raises the same errors, so these are written down once, in the docstring of `curl`.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

Function = Callable[..., Any]
Documented = TypeVar("Documented", bound=Callable[..., Any])


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


def arguments_of(plain: Callable[..., Any]) -> Callable[[Documented], Documented]:
    """Completes a docstring by the `Args:` and `Raises:` of `plain`, which takes the same arguments."""

    def complete(function: Documented) -> Documented:
        if function.__doc__ and plain.__doc__:  # Python can be told to keep none
            summary, returns = _sections(function)
            _, arguments, _, errors = _sections(plain)
            function.__doc__ = "\n\n".join([summary, arguments, returns, errors])
        return function

    return complete


def _sections(function: Callable[..., Any]) -> list[str]:
    """The summary of a docstring, its `Args:`, its `Returns:` and its `Raises:`, as far as it has them."""
    return re.split(r"\n\n(?=(?:Args|Returns|Raises):\n)", inspect.getdoc(function) or "")
