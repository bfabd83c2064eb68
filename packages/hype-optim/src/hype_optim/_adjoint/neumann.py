"""A linear solver that sums a Neumann series."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from hype_ad.internal.checks import static_number
from hype_ad.internal.tree import zeros_like
from jaxtyping import Array, PyTree

from .._hyperparameter.converters import at_least


class Neumann(lx.AbstractLinearSolver):
    r"""The solution of $A x = b$ by `terms` terms of the Neumann series, $x = a \sum_{i} (I - a A)^i b$.

    For `Implicit` it costs exactly `terms` Hessian products and is what differentiating the last `terms` steps of
    gradient descent with rate $a$ gives (Lorraine et al. 2020, "Optimizing millions of hyperparameters by implicit
    differentiation"). It converges where all eigenvalues of $A$ are between 0 and $2/a$, and however few terms there
    are, it reports success: the field `residual` of `Result.stationarity` says how good they are. A series that
    overflows gives NaN.

    Args:
        terms: how many, at least 1.
        step: $a$, a number above 0 that is known before compiling.

    Raises:
        TypeError: if `terms` is not an integer or `step` not a number.
        ValueError: if `terms` is below 1, or `step` not above 0.
    """

    terms: int = eqx.field(static=True, converter=at_least("terms", 1))
    step: float = eqx.field(static=True, converter=partial(static_number, "step", above=0.0))

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> lx.AbstractLinearOperator:
        """The operator itself."""
        return lx.linearise(operator)

    def compute(
        self, state: lx.AbstractLinearOperator, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        r"""The sum, by repeating $x \leftarrow x + a (b - A x)$ from 0."""

        def add_term(x: PyTree, _: None) -> tuple[PyTree, None]:
            correct = lambda x, b, ax: x + jnp.asarray(self.step, x.dtype) * (b - ax)
            return jax.tree.map(correct, x, vector, state.mv(x)), None

        x, _ = jax.lax.scan(add_term, zeros_like(vector), None, length=self.terms)
        return x, lx.RESULTS.successful, {}

    def transpose(
        self, state: lx.AbstractLinearOperator, options: dict[str, Any]
    ) -> tuple[lx.AbstractLinearOperator, dict[str, Any]]:
        """The transposed operator."""
        return state.transpose(), options

    def conj(
        self, state: lx.AbstractLinearOperator, options: dict[str, Any]
    ) -> tuple[lx.AbstractLinearOperator, dict[str, Any]]:
        """The conjugate operator."""
        return lx.conj(state), options

    def assume_full_rank(self) -> bool:
        """Yes."""
        return True
