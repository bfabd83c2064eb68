r"""Anderson acceleration of a fixed-point iteration (Anderson 1965; Walker & Ni 2011, section 2).

With the residual $f(a) = g(a) - a$, the iteration takes $g$ to be affine on what it has seen: it looks for the
combination of the last points whose residual would be the shortest, and goes on from where `g` would take that. On an
affine $g$ these are the points $g(x_k)$ of the $x_k$ that GMRES finds, as long as no step is forgotten.
"""

from typing import Any, SupportsIndex

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .internal import tree
from .internal.checks import integer


class _Memory(eqx.Module):
    """The last point and residual, and the differences of those before, the last of them in row `steps % depth`."""

    a: Float[Array, " size"]
    f: Float[Array, " size"]
    da: Float[Array, "depth size"]
    df: Float[Array, "depth size"]


class Anderson(eqx.Module):
    """Anderson acceleration, for `fixed_point`: each step looks at the last ones.

    A step costs one evaluation of `g`, as a plain one, and a least-squares problem with a column for each step that is
    remembered. It pays off where `g` contracts slowly, and finds many solutions that `g` does not contract to. Where
    `g` is far from affine it may also wander about a solution that plain iteration would reach: `converged` is false
    then, and derivatives are NaN.

    Args:
        depth: how many steps are remembered, each in as much memory as twice `a`. 5 to 10 are usual.

    Raises:
        TypeError: if `depth` is not an integer.
        ValueError: if `depth` is less than 1.
    """

    depth: int = eqx.field(static=True)

    def __init__(self, depth: SupportsIndex = 5):
        self.depth = integer("depth", depth, 1)

    def start(self, a: PyTree) -> _Memory:
        """What is remembered before the first step from `a`."""
        zeros = jnp.zeros_like(_vector(a))
        rows = jnp.zeros((self.depth, zeros.size), zeros.dtype)
        return _Memory(zeros, zeros, rows, rows)

    def step(self, a: PyTree, stepped: PyTree, memory: _Memory, steps: Int[Array, ""]) -> tuple[Any, _Memory]:
        """The point to go on from after `a`, which `g` takes to `stepped`; `steps` were made before."""
        x, f = _vector(a), _vector(tree.subtract(stepped, a))
        put = lambda rows, difference: rows.at[steps % self.depth].set(jnp.where(steps > 0, difference, 0))
        da, df = put(memory.da, x - memory.a), put(memory.df, f - memory.f)
        # Differences shrink as fast as residuals; of length 1 the old ones do not hide the new ones.
        lengths = jnp.linalg.norm(df, axis=1)
        lengths = jnp.where(lengths > 0, lengths, 1)
        weights = jnp.linalg.lstsq((df / lengths[:, None]).T, f)[0] / lengths
        return tree.unravel(x + f - weights @ (da + df), a), _Memory(x, f, da, df)


def _vector(a: PyTree) -> Float[Array, " size"]:
    return tree.at_least_single(tree.ravel(a))
