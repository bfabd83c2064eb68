"""`check_hypergradient`: a table of reverse mode, forward mode and central differences for each hyperparameter."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal import html
from hype_ad.internal.checks import function
from hype_ad.internal.text import table
from hype_ad.internal.tree import random_unit_direction
from hype_ad.testing import compare_along
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._adjoint.base import adjoints_in
from .._objective import as_scalar
from .._transform.jaxpr import influential
from .._transform.nondifferentiable import NoDerivativeError, has_derivative

RIGHT = ("ok", "no influence", "unseen")
_HEAD = ("hyperparameter", "reverse", "forward", "difference", "+-", "verdict")


@dataclass(frozen=True)
class HypergradientRow:
    """What was found for one hyperparameter.

    Attributes:
        path: where in the configuration it is, such as `.learning_rate.rate`.
        reverse: the derivative in reverse mode, for an array that along a random direction of length 1.
        forward: the same in forward mode, or `None` where the adjoint has none, as `Reversible`.
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
        return "\n".join([table(_HEAD, self._cells()), *self._notes()])

    def _repr_html_(self) -> str:
        """The same, as a notebook shows it."""
        return html.table(_HEAD, self._cells()) + "".join(map(html.paragraph, self._notes()))

    def _cells(self) -> list[tuple[str, ...]]:
        number = lambda x: "" if x is None else f"{x: .6e}"
        short = lambda x: "" if x is None else f"{x:.0e}"
        return [
            (row.path, *map(number, (row.reverse, row.forward, row.difference)), short(row.error), row.verdict)
            for row in self.rows
        ]

    def _notes(self) -> list[str]:
        """What a derivative that failed may come from, and the verdict on all."""
        wrong = sum(row.verdict not in RIGHT for row in self.rows)
        verdict = "All derivatives are right." if self.ok else f"{wrong} of {len(self.rows)} derivatives failed."
        notes = [f"{row.path}: {row.note}" for row in self.rows if row.note]
        return [*notes, f"{verdict} f = {self.value:.8g}, computed in {self.dtype}."]


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

    Examples:
        >>> import jax.numpy as jnp
        >>> from hype_optim import Params, check_hypergradient, minimize
        >>> loss = lambda params: minimize(lambda w: jnp.sum(w**2), jnp.ones(3), params).loss
        >>> check = check_hypergradient(loss, Params(epochs=10, learning_rate=0.1, silent=True))
        >>> check.ok, check.without_influence
        (True, ('.regularization.coefficient', '.improvement_threshold'))

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
        TypeError: if `params` has no float leaf, or if `f` is no function or does not give a real scalar.
    """
    function("f", f, "a function of a configuration")
    with jax.enable_x64(True):
        floats, static = eqx.partition(_wide(params), eqx.is_inexact_array)
        paths, structure = jax.tree_util.tree_flatten_with_path(floats)
        if not paths:
            raise TypeError(f"`params` must have at least one float leaf, got {params!r}.")
        wide_f = _wide(f)
        at = lambda leaves: as_scalar("f", wide_f(eqx.combine(jax.tree.unflatten(structure, leaves), static)))
        assumption = " ".join(adjoint.assumption for adjoint in adjoints_in(params) if adjoint.assumption)
        names = [jax.tree_util.keystr(path) or "params" for path, _ in paths]
        random = np.random.default_rng(np.asarray(jax.random.key_data(jax.random.key(0) if key is None else key)))
        return _check(at, names, [np.asarray(leaf) for _, leaf in paths], assumption, rtol, atol, random)


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


def _check(
    at: Callable[[list[Any]], Float[Array, ""]],
    names: list[str],
    leaves: list[np.ndarray],
    assumption: str,
    rtol: int | float | None,
    atol: int | float | None,
    random: np.random.Generator,
) -> HypergradientCheck:
    """The check of a function of a list of leaves; `assumption` is what must hold for its derivatives to be right."""
    run, closed = jax.jit(at), jax.make_jaxpr(at)(leaves)
    value, used, dtype = float(run(leaves)), influential(closed), _precision(closed)
    epsilon = float(jnp.finfo(dtype).eps)
    rough = epsilon > 1e-10
    rtol = (2e-2 if rough else 1e-5) if rtol is None else rtol
    atol = (1e-5 if rough else 1e-9) * (abs(value) if np.isfinite(value) else 1.0) if atol is None else atol
    mode_rtol = max(rtol / 100, 10 * epsilon)

    with_leaf = lambda i, leaf: [*leaves[:i], leaf, *leaves[i + 1 :]]
    alone = lambda i, v: jax.jvp(lambda leaf: at(with_leaf(i, leaf)), (leaves[i],), (v,))[1]
    slope = lambda i, leaf: jax.grad(lambda leaf: at(with_leaf(i, leaf)))(leaf)
    seen = {i: leaf for i, leaf in enumerate(leaves) if used[i] and has_derivative(partial(slope, i), leaf)}
    of_seen = lambda seen: at([seen.get(i, leaf) for i, leaf in enumerate(leaves)])
    gradient = jax.jit(jax.grad(of_seen))(seen) if seen else {}
    push = jax.jit(lambda tangent: jax.jvp(of_seen, (seen,), (tangent,))[1])
    try:
        push.lower(seen)
        has_forward = True
    except NoDerivativeError:
        has_forward = False

    def row(i: int) -> HypergradientRow:
        if i not in seen:
            verdict = "unseen" if used[i] else "no influence"
            return HypergradientRow(names[i], None, None, None, None, verdict, _HINTS[verdict])
        leaf = leaves[i]
        direction = np.ones_like(leaf) if leaf.size == 1 else random_unit_direction(random, leaf)
        length = float(np.linalg.norm(leaf)) or 1.0  # a step is a part of the hyperparameter, whatever its scale
        values = {"reverse": float(np.vdot(gradient[i], direction))}
        if has_forward:
            forward = float(push({j: direction if j == i else np.zeros_like(other) for j, other in seen.items()}))
            if not np.isfinite(forward):  # 0 times infinity, of another leaf?
                forward = float(jax.jit(partial(alone, i))(direction))
            values = {"forward": forward, **values}
        along = lambda t: np.asarray(run(with_leaf(i, np.asarray(leaf + t * (length * direction)))), float)
        accepted = {"rtol": rtol, "atol": atol / length}
        compared = compare_along(along, values, **accepted, length=length, epsilon=epsilon)
        verdict, _ = compared.judge(**accepted, mode_rtol=mode_rtol, mode_atol=atol / length)
        note = _HINTS[verdict]
        if verdict == "wrong":
            note = assumption or (_CUT_OFF if values["reverse"] == 0 else note)
        elif verdict == "not finite":
            note = f"{note} {assumption}".rstrip()
        found = values["reverse"], values.get("forward"), compared.difference, compared.error
        return HypergradientRow(names[i], *found, verdict, note)

    return HypergradientCheck(tuple(map(row, range(len(leaves)))), value, dtype.name)


def _precision(closed: ClosedJaxpr) -> np.dtype:
    """The coarsest precision of what a program gives and of its constants, which round what is computed with them."""
    kinds = [closed.out_avals[0].dtype, *(jnp.result_type(c) for c in closed.consts)]
    precisions = [np.dtype(kind) for kind in kinds if jnp.issubdtype(kind, jnp.floating)]
    return max(precisions, key=lambda kind: jnp.finfo(kind).eps)


def _wide(tree: PyTree) -> PyTree:
    """Floats in double precision."""
    double = lambda leaf: jnp.asarray(leaf, jnp.float64) if eqx.is_inexact_array_like(leaf) else leaf
    return jax.tree.map(double, tree)
