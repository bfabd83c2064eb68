"""Is a hypergradient right? Reverse mode, forward mode and differences of float64, hyperparameter by hyperparameter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.text import table
from hype_ad.internal.tree import random_unit_direction
from hype_ad.testing import compare_along
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._adjoint.base import AbstractAdjoint
from .._objective import as_scalar
from .._transform.jaxpr import influential
from .._transform.nondifferentiable import NoDerivativeError

RIGHT = ("ok", "no influence", "unseen")


@dataclass(frozen=True)
class HypergradientRow:
    """What was found for one hyperparameter.

    Attributes:
        path: where in the configuration it is, such as `.learning_rate.rate`.
        reverse: the derivative in reverse mode, for an array that along a random direction of length 1.
        forward: the same in forward mode.
        difference: the same by central differences.
        error: what they say of their own error.
        verdict: "ok"; "no influence", where no number that `f` computes depends on it; "unseen", where the adjoint
            refuses the derivative; or what is wrong: "not finite", "modes differ", "wrong", "undecided" (the
            differences do not settle, so they prove nothing).
        note: what that may come from.
    """

    path: str
    reverse: float | None
    forward: float | None
    difference: float | None
    error: float | None
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class HypergradientCheck:
    """The verdict of `check_hypergradient`; prints as a table.

    Attributes:
        rows: one for each float leaf of the configuration.
        value: what `f` gave.
        dtype: the precision that all this was computed in.
    """

    rows: tuple[HypergradientRow, ...]
    value: float
    dtype: str

    @property
    def ok(self) -> bool:
        """Whether no derivative is wrong, not finite or undecided."""
        return all(row.verdict in RIGHT for row in self.rows)

    @property
    def without_influence(self) -> tuple[str, ...]:
        """The hyperparameters that no number depends on."""
        return tuple(row.path for row in self.rows if row.verdict == "no influence")

    def __str__(self) -> str:
        """The table, with notes below it."""
        number = lambda x: "" if x is None else f"{x: .6e}"
        short = lambda x: "" if x is None else f"{x:.0e}"
        cells = [
            (row.path, *map(number, (row.reverse, row.forward, row.difference)), short(row.error), row.verdict)
            for row in self.rows
        ]
        lines = table(("hyperparameter", "reverse", "forward", "difference", "+-", "verdict"), cells)
        notes = [f"{row.path}: {row.note}" for row in self.rows if row.note]
        wrong = sum(row.verdict not in RIGHT for row in self.rows)
        verdict = "All derivatives are right." if self.ok else f"{wrong} of {len(self.rows)} derivatives failed."
        return "\n".join([lines, *notes, f"{verdict} f = {self.value:.8g}, computed in {self.dtype}."])


def check_hypergradient(
    f: Callable[[Any], Any],
    params: PyTree,
    *,
    rtol: int | float | None = None,
    atol: int | float | None = None,
    key: PRNGKeyArray | None = None,
) -> HypergradientCheck:
    """Compare the derivatives of a function of hyperparameters in reverse mode, forward mode and by differences.

    For each float leaf of `params` the derivative along it (for an array, along a random direction) is computed in
    both modes and compared with extrapolated central differences of `f`, all in float64, whether or not JAX's 64-bit
    mode is on. This finds derivatives that are cut off by a `stop_gradient`, an integer or a comparison, wrong custom
    rules, NaN, an inner problem that has not converged under `Implicit`, and differences that do not settle, because
    `f` jumps or the training is chaotic. It tells hyperparameters that nothing depends on (found in the program, not by
    a zero) from those whose derivative happens to be zero. It runs `f` some dozens of times for each leaf.

    Args:
        f: maps a configuration to a scalar, as in `lambda p: train(model, data, p).loss`. If it is a pytree, such as
            `jax.tree_util.Partial(f, model, data)`, its float arrays are taken to float64 too; what a plain function
            closes over stays as it is, and with float32 among it differences are judged as those of float32.
        params: the configuration: a `Params`, or any pytree with float leaves.
        rtol: accepted difference between a derivative and the differences, relative to them; by default 1e-5 in
            float64 and 0.02 in float32. Between the modes a hundredth of it is accepted, or ten times the precision.
        atol: accepted difference in $f$ per relative change of a hyperparameter, by default 1e-9 or 1e-5 times $|f|$.
        key: draws the directions; always the same ones if not given.

    Returns:
        A `HypergradientCheck`: print it, or look at its `ok`, `rows` and `without_influence`.

    Raises:
        TypeError: if `params` has no float leaf, or if `f` does not give a real scalar.
    """
    with jax.enable_x64(True):
        problem = _Problem(f, params)
        return HypergradientCheck(tuple(problem.rows(rtol, atol, key)), problem.value, problem.dtype.name)


_HINTS = {
    "not finite": "Look for a square root, norm, logarithm or quotient at zero, or a failed linear solve.",
    "modes differ": "A custom derivative rule is wrong in one of them, or digits are lost.",
    "undecided": "The differences do not settle: f jumps or has a kink here, or the training is chaotic.",
    "wrong": "A `stop_gradient` cuts a part of it off, or a custom derivative rule is wrong.",
    "unseen": "The adjoint has no derivative with respect to it.",
    "no influence": "",
    "ok": "",
}
_CUT_OFF = "It changes f, but a `stop_gradient`, an integer or a comparison cuts its derivative off."


class _Problem:
    """`f` as a function of the list of float leaves, in double precision where it allows that."""

    def __init__(self, f: Callable[[Any], Any], params: PyTree):
        floats, rest = eqx.partition(_wide(params), eqx.is_inexact_array)
        paths, structure = jax.tree_util.tree_flatten_with_path(floats)
        if not paths:
            raise TypeError(f"`params` must have at least one float leaf, got {params!r}.")
        self.paths = [jax.tree_util.keystr(path) or "params" for path, _ in paths]
        self.leaves = [np.asarray(leaf) for _, leaf in paths]
        parts = filter(_is_adjoint, jax.tree.leaves(params, is_leaf=_is_adjoint))
        self.assumption = " ".join(part.assumption for part in parts if part.assumption)
        f = _wide(f)

        def at(leaves: list[Any]) -> Float[Array, ""]:
            return as_scalar("f", f(eqx.combine(jax.tree.unflatten(structure, leaves), rest)))

        self.at, self.run = at, jax.jit(at)
        closed = jax.make_jaxpr(at)(self.leaves)
        # Constants in single precision round what is computed with them, whatever precision the result has.
        kinds = [closed.out_avals[0].dtype, *(jnp.result_type(c) for c in closed.consts)]
        precisions = [np.dtype(kind) for kind in kinds if jnp.issubdtype(kind, jnp.floating)]
        self.dtype = max(precisions, key=lambda kind: jnp.finfo(kind).eps)
        self.used = influential(closed)
        self.value = float(self.run(self.leaves))

    def along(self, index: int, direction: ArrayLike) -> Float[Array, ""]:
        """The derivative when one leaf alone has a tangent."""
        alone = lambda leaf: self.at([*self.leaves[:index], leaf, *self.leaves[index + 1 :]])
        return jax.jvp(alone, (self.leaves[index],), (direction,))[1]

    def seen(self, index: int) -> bool:
        """Whether the adjoint has a derivative with respect to a leaf."""
        try:
            jax.eval_shape(lambda direction: self.along(index, direction), self.leaves[index])
        except NoDerivativeError:
            return False
        return True

    def rows(
        self, rtol: int | float | None, atol: int | float | None, key: PRNGKeyArray | None
    ) -> list[HypergradientRow]:
        """What was found for each leaf."""
        epsilon = float(jnp.finfo(self.dtype).eps)
        rough = epsilon > 1e-10
        scale = abs(self.value) if np.isfinite(self.value) else 1.0
        rtol = (2e-2 if rough else 1e-5) if rtol is None else rtol
        atol = (1e-5 if rough else 1e-9) * scale if atol is None else atol
        part = {i: leaf for i, leaf in enumerate(self.leaves) if self.used[i] and self.seen(i)}
        reverse, forward = self.derivatives(part)

        random = np.random.default_rng(np.asarray(jax.random.key_data(jax.random.key(0) if key is None else key)))
        rows = []
        for index, (path, leaf) in enumerate(zip(self.paths, self.leaves, strict=True)):
            if index not in part:
                verdict = "unseen" if self.used[index] else "no influence"
                rows.append(HypergradientRow(path, None, None, None, None, verdict, _HINTS[verdict]))
                continue
            direction = np.ones_like(leaf) if leaf.size == 1 else random_unit_direction(random, leaf)
            length = float(np.linalg.norm(leaf)) or 1.0  # a step is a part of the hyperparameter, whatever its scale
            values = {
                "forward": forward(index, direction),
                "reverse": float(np.vdot(reverse[index], direction)),
            }
            compared = compare_along(
                self.moved(index, length * direction),
                values,
                rtol=rtol,
                atol=atol / length,
                length=length,
                epsilon=epsilon,
            )
            mode_rtol = max(rtol / 100, 10 * epsilon)
            verdict, _ = compared.judge(rtol=rtol, atol=atol / length, mode_rtol=mode_rtol, mode_atol=atol / length)
            found = (values["reverse"], values["forward"], compared.difference, compared.error)
            rows.append(HypergradientRow(path, *found, verdict, self.hint(verdict, values["forward"])))
        return rows

    def derivatives(self, part: Mapping[int, ArrayLike]) -> tuple[dict[int, Array], Callable[[int, ArrayLike], float]]:
        """The gradient in some leaves, by their places, and the derivative along one of them in forward mode."""
        at = lambda part: self.at([part.get(i, leaf) for i, leaf in enumerate(self.leaves)])
        push = jax.jit(lambda tangent: jax.jvp(at, (part,), (tangent,))[1])

        def forward(index: int, direction: ArrayLike) -> float:
            pushed = float(push({i: direction if i == index else np.zeros_like(leaf) for i, leaf in part.items()}))
            if np.isfinite(pushed):
                return pushed
            return float(jax.jit(lambda v: self.along(index, v))(direction))  # 0 times infinity, of another leaf?

        return jax.jit(jax.grad(at))(part) if part else {}, forward

    def moved(self, index: int, step: ArrayLike) -> Callable[[float], Float[np.ndarray, ""]]:
        """`f` where one leaf has moved by a multiple of `step`."""
        leaves = lambda t: [np.asarray(x + t * step) if i == index else x for i, x in enumerate(self.leaves)]
        return lambda t: np.asarray(self.run(leaves(t)), float)

    def hint(self, verdict: str, derivative: float) -> str:
        """What a verdict may come from."""
        if verdict != "wrong":
            return _HINTS[verdict]
        return self.assumption or (_CUT_OFF if derivative == 0 else _HINTS[verdict])


def _wide(tree: PyTree) -> PyTree:
    """Floats in double precision."""
    is_float = lambda leaf: isinstance(leaf, float) or eqx.is_inexact_array_like(leaf)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64) if is_float(leaf) else leaf, tree)


def _is_adjoint(x: Any) -> bool:
    return isinstance(x, AbstractAdjoint)
