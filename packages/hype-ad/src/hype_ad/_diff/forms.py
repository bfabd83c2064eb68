"""The forms of an operator: `curl` follows from `value_and_curl`, which takes its documentation from `curl`.

`value_and_curl(f)` gives f(x) too, from the same evaluation. `curl(f)` is the same without it, takes the same arguments
and raises the same errors, so these are written down once, in the docstring of `curl`.
"""

import inspect
from collections.abc import Callable
from typing import Any

from .._documentation import Model, like

Function = Callable[..., Any]


def giving(model: Model, *parts: str) -> Callable[[Function], Model]:
    """Documents a form of the operator `model` that gives these parts of one evaluation, and has its static type."""
    name, first, rest = model.__name__, parts[0], ", ".join(parts[1:])

    def complete(function: Function) -> Model:
        has_aux = "has_aux" in inspect.signature(function).parameters
        with_aux = f";\n            with `has_aux` (({first}, auxiliary output), {rest})" if has_aux else ""
        together = f"{', '.join(parts[:-1])} and {parts[-1]}"
        function.__doc__ = f"""{together[0].upper()}{together[1:]} from one evaluation of `f`; see `{name}`.

        Returns:
            A function like that of `{name}`, which gives the tuple ({first}, {rest}){with_aux}.
        """
        return like(model)(function)

    return complete


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
