"""Docstrings and static types that functions share: `curl` and `value_and_curl`, `append` and `prepend`."""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

Model = TypeVar("Model", bound=Callable[..., Any])


def like(model: Model) -> Callable[[Callable[..., Any]], Model]:
    """Gives a function with the arguments of `model` its static type, and what its own docstring lacks."""

    def complete(function: Callable[..., Any]) -> Model:
        complete_docstring(function, model.__doc__)
        return cast(Model, function)

    return complete


def complete_docstring(function: Callable[..., Any], shared: str | None) -> None:
    """Adds to a function's docstring the `Args:`, `Returns:` and `Raises:` of another docstring that it lacks."""
    if function.__doc__ and shared:  # Python can be told to keep none
        sections = _sections(shared)
        if "Args" in sections:
            sections["Args"] = _taken(sections["Args"], function)
        function.__doc__ = "\n\n".join({**sections, **_sections(function.__doc__)}.values())


def _taken(arguments: str, function: Callable[..., Any]) -> str:
    """Those of the arguments that a function has."""
    heading, *entries = re.split(r"\n(?=    \w)", arguments)
    names = inspect.signature(function).parameters
    return "\n".join([heading, *(entry for entry in entries if entry.strip().partition(":")[0] in names)])


def _sections(docstring: str) -> dict[str, str]:
    """The parts of a docstring by their headings; the summary has none."""
    summary, *parts = re.split(r"(?:\A|\n\n)(?=(?:Args|Returns|Raises):\n)", inspect.cleandoc(docstring))
    return {"": summary} | {part.partition(":")[0]: part for part in parts}
