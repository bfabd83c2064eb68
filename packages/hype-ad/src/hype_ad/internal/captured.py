"""What a function reads beside its arguments, so that a compiled program is not used for what the function was before.

`jit` knows a function by its identity. A notebook that assigns `data` anew and runs again, or an object whose attribute
has changed since, would be given the old answer. What can be seen without running the function is looked at here: the
globals that its code reads, its closure and defaults, the attributes that a method reads of its object, and the same of
the functions of its own package among them.
"""

import dis
import functools
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from .checks import known

_SAMPLE = 2**20
_DEPTH = 4


@dataclass(frozen=True)
class Captured:
    """The values that functions read beside their arguments; equal if none of them has changed. Opaque to JAX."""

    values: tuple[Any, ...]


class Watched(eqx.Module):
    """A function that is compiled anew when something that it captures has changed; its arrays are leaves as ever."""

    function: Callable[..., Any]
    captured: Captured = eqx.field(static=True)

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        return self.function(*args)


def watched(f: Callable[..., Any]) -> Watched:
    """The function, with what it captures now as a part of its identity for `jit`."""
    return Watched(f, captured(f))


def captured(*functions: Any) -> Captured:
    """What functions capture; callable pytrees such as `jax.tree_util.Partial` are looked into."""
    values: list[Any] = []
    for f in functions:
        own = getattr(f, "func", f)
        package = (getattr(own, "__module__", None) or type(own).__module__).partition(".")[0]
        _Walk(values, package, set()).callable(f, _DEPTH)
    return Captured(tuple(values))


@dataclass(frozen=True, eq=False)
class _Same:
    """A JAX array by its identity: it cannot be written to, and is kept alive."""

    array: jax.Array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.array is other.array

    def __hash__(self) -> int:
        return id(self.array)


class _Names(NamedTuple):
    """The names in a piece of code, that of functions defined in it included."""

    loaded: frozenset[str]  # as globals
    attributes: frozenset[str]
    stored: frozenset[str]  # such as a counter, which the function itself changes


@functools.lru_cache(1024)
def _names(code: types.CodeType) -> _Names:
    found: dict[str, set[str]] = {"loaded": set(), "attributes": set(), "stored": set()}
    kinds = {"LOAD_GLOBAL": "loaded", "LOAD_NAME": "loaded", "LOAD_ATTR": "attributes", "LOAD_METHOD": "attributes"}
    kinds |= {"STORE_GLOBAL": "stored", "STORE_DEREF": "stored"}
    for instruction in dis.get_instructions(code):
        if instruction.opname in kinds:
            found[kinds[instruction.opname]].add(str(instruction.argval))
        elif isinstance(instruction.argval, types.CodeType):
            for kind, inner in _names(instruction.argval)._asdict().items():
                found[kind] |= inner
    return _Names(**{kind: frozenset(names) for kind, names in found.items()})


class _Walk(NamedTuple):
    """Gathers values into a list, from functions of one package."""

    values: list[Any]
    package: str
    seen: set[int]

    def callable(self, f: Any, depth: int) -> None:
        """What a function, a method, a partial application or a callable object captures."""
        if isinstance(f, functools.partial):  # as `jax.tree_util.Partial` is, whose arguments are leaves
            if not isinstance(f, jax.tree_util.Partial):
                self.value((f.args, f.keywords), depth)
            self.callable(f.func, depth)
        elif isinstance(f, types.MethodType):
            self.function(f.__func__, f.__self__, depth)
        elif isinstance(f, types.FunctionType):
            self.function(f, None, depth)
        elif callable(f) and isinstance(method := type(f).__call__, types.FunctionType):
            self.function(method, f, depth)

    def function(self, f: types.FunctionType, owner: Any, depth: int) -> None:
        """What a function reads, `owner` being the object whose method it is."""
        if depth == 0 or id(f) in self.seen or (f.__module__ or "").partition(".")[0] != self.package:
            return
        self.seen.add(id(f))
        names = _names(f.__code__)
        for name, value in _read(f, names):
            self.value(value, depth, name not in names.stored, names.attributes)
        self.attributes(owner, names.attributes, depth)

    def attributes(self, owner: Any, names: frozenset[str], depth: int) -> None:
        """The attributes of an object with these names, and what its own methods among them read."""
        if owner is None or isinstance(owner, type | types.ModuleType) or not jax.tree_util.all_leaves([owner]):
            return  # the leaves of a pytree are seen by `jit`, or by `value`
        for name in sorted(names):
            if name in getattr(owner, "__dict__", {}):
                self.value(owner.__dict__[name], depth, plain=True)
            elif isinstance(method := getattr(type(owner), name, None), types.FunctionType):
                self.function(method, owner, depth - 1)

    def value(self, x: Any, depth: int, plain: bool = False, attributes: frozenset[str] = frozenset()) -> None:
        """One value: an array, a float, with `plain` another number or a string, or what holds such things."""
        if isinstance(x, jax.Array):
            if known(x):
                self.values.append(_Same(x))
        elif isinstance(x, np.ndarray) and x.dtype != object:
            entries = x.reshape(-1)[:: max(1, x.size // _SAMPLE)]
            self.values.append((x.shape, str(x.dtype), hash(entries.tobytes())))
        elif isinstance(x, float | complex | np.generic) or (plain and isinstance(x, int | str | None)):
            self.values.append((type(x), repr(x)))
        elif isinstance(x, types.FunctionType | types.MethodType | functools.partial):
            self.callable(x, depth - 1)
        elif not jax.tree_util.all_leaves([x]):
            for leaf in jax.tree.leaves(x):
                self.value(leaf, depth)
        else:
            self.attributes(x, attributes, depth)


def _read(f: types.FunctionType, names: _Names) -> Iterator[tuple[str, Any]]:
    """What a function reads by name, and its defaults."""
    for name in sorted(names.loaded):
        if name in f.__globals__:
            yield name, f.__globals__[name]
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield "", (f.__defaults__, f.__kwdefaults__)
