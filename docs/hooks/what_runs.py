"""What the reference needs to know and the source alone does not say, from the packages as they run.

Some functions are made by other functions, some docstrings are completed when a package is imported, and Equinox makes
the constructor of a module from its fields, as Python does that of a named tuple.
"""

import importlib
import inspect
import re
from typing import Any

import equinox as eqx
import griffe

PARTS = {"hype_ad": ["hype_ad.numerical", "hype_ad.testing"]}


class WhatRuns(griffe.Extension):
    """Completes the public names of a package."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Goes through the package and its public modules."""
        for path in [pkg.path, *PARTS.get(pkg.path, [])]:
            within = pkg if path == pkg.path else pkg[path.removeprefix(f"{pkg.path}.")]
            for name, thing in inspect.getmembers(importlib.import_module(path)):
                if name in within.members:
                    _complete(_written(pkg, within.members[name]), thing)
                elif getattr(thing, "__module__", None) == path:  # one statement that makes several names
                    _complete(griffe.Attribute(name, parent=within), thing)


def _written(package: griffe.Module, member: griffe.Object | griffe.Alias) -> griffe.Object | None:
    """What a name stands for, where that is in the package."""
    while isinstance(member, griffe.Alias):
        if not member.target_path.startswith(f"{package.path}."):
            return None
        member = package[member.target_path.removeprefix(f"{package.path}.")]
    return member


def _complete(written: griffe.Object | None, thing: Any) -> None:
    if isinstance(written, griffe.Attribute) and inspect.isroutine(thing):
        written = _function(written, thing)
    if isinstance(written, griffe.Function):
        _document(written, thing)
    made_of_fields = isinstance(thing, type) and (issubclass(thing, eqx.Module) or hasattr(thing, "_fields"))
    if isinstance(written, griffe.Class) and made_of_fields and "__init__" not in written.members:
        _construct(written, thing)


def _function(written: griffe.Attribute, thing: Any) -> griffe.Function:
    """The function that an assignment makes."""
    signature = inspect.signature(thing)
    parameters = [_parameter(each, _annotation(each.annotation)) for each in signature.parameters.values()]
    made = griffe.Function(
        written.name,
        parameters=griffe.Parameters(*parameters),
        returns=_annotation(signature.return_annotation),
        lineno=written.lineno,
        endlineno=written.endlineno,
        parent=written.parent,
    )
    written.parent.set_member(written.name, made)
    return made


def _annotation(annotation: Any) -> str | None:
    """An annotation as one would write it: without modules."""
    if annotation is inspect.Signature.empty:
        return None
    return re.sub(r"\b\w+\.", "", inspect.formatannotation(annotation)).replace("'", '"')


def _construct(written: griffe.Class, thing: type) -> None:
    """The constructor that Equinox makes, with the annotations of the fields."""
    given = [each for each in inspect.signature(thing).parameters.values() if each.name != "self"]
    if given:
        fields = {
            name: field for base in reversed([written, *_bases(written)]) for name, field in base.attributes.items()
        }
        parameters = [_parameter(each, getattr(fields.get(each.name), "annotation", None)) for each in given]
        this = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
        made = griffe.Function("__init__", parameters=griffe.Parameters(this, *parameters), parent=written)
        written.set_member("__init__", made)


def _bases(written: griffe.Class) -> list[griffe.Class]:
    try:
        return written.mro()
    except (ValueError, griffe.GriffeError):
        return []


def _parameter(each: inspect.Parameter, annotation: Any) -> griffe.Parameter:
    default = None if each.default is inspect.Parameter.empty else _spelled(each.default)
    return griffe.Parameter(
        each.name, annotation=annotation, kind=griffe.ParameterKind(each.kind.description), default=default
    )


def _spelled(default: Any) -> str:
    """A default as one would write it."""
    text = repr(default)
    return "..." if "<" in text or " object at " in text else text


def _document(written: griffe.Function, thing: Any) -> None:
    text = inspect.getdoc(thing)
    if text and (written.docstring is None or written.docstring.value != text):
        lines = written.docstring or written
        written.docstring = griffe.Docstring(text, lineno=lines.lineno, endlineno=lines.endlineno, parent=written)
