"""Functions as pytrees, so that what holds them needs no filtering by `jit` and `grad`."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax


class StaticFunction(eqx.Module):
    """A plain function as a pytree without leaves."""

    function: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, *args: Any) -> Any:
        """Call it."""
        return self.function(*args)


def is_plain(f: Callable[..., Any]) -> bool:
    """Whether a callable is opaque to JAX, unlike a module or a `jax.tree_util.Partial`, which may hold arrays."""
    return jax.tree_util.all_leaves([f])


def as_pytree(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """A callable as a pytree of arrays."""
    if not callable(f):
        raise TypeError(f"`{name}` must be a function, got {f!r}.")
    return StaticFunction(f) if is_plain(f) else f
