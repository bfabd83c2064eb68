"""Optax transformations as methods.

Two faults that such a transformation may have stay hidden until a run is differentiated: a square root at zero, whose
derivative is NaN, and a loop without a reverse mode. Both are looked for when a derivative is asked for, and only then.
"""

import warnings
from collections.abc import Callable, Hashable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from hype_ad.internal.checks import as_float_array, function, instance, known
from hype_ad.internal.tree import all_finite, sum_of
from jaxtyping import Array, Bool, PyTree

from ..._hyperparameter.ranges import is_float, is_range, value_of
from ..._objective import Iterate
from ..._transform.nondifferentiable import call_when_differentiated
from ..learning_rate.base import AbstractLearningRate, Unscaled
from .base import AbstractMethod


class Optax(AbstractMethod):
    r"""Any Optax transformation, with its hyperparameters as leaves.

    `Optax(optax.adam, {"learning_rate": 0.01, "b1": positive(0.9)})` builds `optax.adam(learning_rate=..., b1=...)`
    anew inside of the compiled program, so that the run is differentiable with respect to both, and other values do
    not recompile. A transformation given bare, as in `Params(method=optax.adam(0.01))`, is `Optax(lambda: it)`: its
    hyperparameters are constants of the program.

    It brings its own rate and momentum, so `Params` takes neither beside it. Its updates get the value, the gradient
    and the objective, as Optax's line searches ask for. In the derivative of a run, a warning names what would give
    NaN, such as `optax.adam` with its default `eps_root=0` where a gradient is zero, or what has no reverse mode.

    Args:
        factory: called with the hyperparameters, gives an Optax transformation.
        hyperparameters: the keyword arguments. Python floats, arrays of floats and ranges are leaves;
            so are pytrees of them, and other values choose code and are static. Differentiable.

    Raises:
        TypeError: if `factory` is not callable or gives something else.
    """

    takes_rate: ClassVar[bool] = False

    factory: Callable[..., optax.GradientTransformation] = eqx.field(static=True)
    hyperparameters: dict[str, Any]
    settings: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def __init__(
        self, factory: Callable[..., optax.GradientTransformation], hyperparameters: dict[str, Any] | None = None
    ):
        given = {} if hyperparameters is None else hyperparameters
        instance("hyperparameters", given, dict, "a dict of keyword arguments")
        self.factory = function("factory", factory, "a function such as optax.adam")
        self.hyperparameters = {
            name: jax.tree.map(lambda leaf: leaf if is_range(leaf) else as_float_array(leaf), x, is_leaf=is_range)
            for name, x in given.items()
            if _are_floats(x)
        }
        self.settings = tuple((name, x) for name, x in given.items() if name not in self.hyperparameters)
        for name, x in self.settings:
            if not isinstance(x, Hashable):
                raise TypeError(
                    f"`hyperparameters[{name!r}]` must be a float, a range, a pytree of them, or hashable, got one of "
                    f"type {type(x).__name__}."
                )
        made = self._made()
        if not isinstance(made, optax.GradientTransformation):
            raise TypeError(f"`factory` must give an Optax transformation, got {made!r}.")

    def default_learning_rate(self) -> AbstractLearningRate:
        """The updates as they are."""
        return Unscaled()

    def init(self, w: PyTree) -> PyTree:
        """The transformation's own state."""
        return self._transformation().init(w)

    def is_step(self, memory: PyTree) -> Bool[Array, ""]:
        """It is, but no rate looks at it."""
        return jnp.array(True)

    def direction(self, iterate: Iterate, memory: PyTree) -> tuple[PyTree, PyTree]:
        """The transformation's updates."""
        update, w = self._transformation().update, iterate.w

        def updated(gradient: PyTree) -> tuple[PyTree, PyTree]:
            # Many transformations mix integer counts and floats.
            with jax.numpy_dtype_promotion("standard"):
                return update(gradient, memory, w, value=iterate.value, grad=gradient, value_fn=iterate.objective)

        return updated(call_when_differentiated(lambda: self._warn(updated, w), iterate.clipped))

    def _warn(self, updated: Callable[[PyTree], PyTree], w: PyTree) -> None:
        name = getattr(self.factory, "__name__", repr(self.factory))
        if not _has_reverse_mode(updated, w):
            warnings.warn(
                f"The Optax transformation of `{name}` has a loop inside that has no reverse mode, such as that of a "
                "line search. Use a method and a line search of Hype's, such as `LBFGS()` and `StrongWolfe()`, whose "
                "derivatives are exact. Forward mode works, but cuts some of the derivative where Optax does.",
                stacklevel=2,
            )
        elif not self._finite_at_zero(w):
            warnings.warn(
                f"The Optax transformation of `{name}` has a derivative of NaN where a gradient is zero, so that the "
                "derivative of the run may be NaN. Optax's Adam and its kin take `eps_root`: set it to 1e-16, say. Or "
                "use a rate of Hype's, such as `Adam()`.",
                stacklevel=2,
            )

    def _finite_at_zero(self, w: PyTree) -> bool:
        """Whether the first update has a finite derivative at a gradient of zero, as far as it can be told."""
        with jax.ensure_compile_time_eval():
            # Hyperparameters have no values while compiling; a half is within all their ranges.
            leaves = jax.tree.map(lambda x: jnp.full(x.shape, 0.5, x.dtype), self.hyperparameters)
            transformation = eqx.tree_at(lambda s: s.hyperparameters, self, leaves)._transformation()
            zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), w)
            ones = jax.tree.map(jnp.ones_like, zeros)
            update = lambda g: transformation.update(g, transformation.init(zeros), zeros)[0]
            # One program: each operation by itself would be compiled too.
            is_finite = jax.jit(lambda point, tangent: all_finite(jax.jvp(update, (point,), (tangent,))[1]))
            try:
                with jax.numpy_dtype_promotion("standard"):
                    return bool(is_finite(zeros, ones))
            except (TypeError, ValueError):  # it asks for more than a gradient
                return True

    def _transformation(self) -> optax.GradientTransformationExtraArgs:
        return optax.with_extra_args_support(self._made())

    def _made(self) -> Any:
        values = jax.tree.map(value_of, self.hyperparameters, is_leaf=is_range)
        return self.factory(**values, **dict(self.settings))


def _are_floats(x: Any) -> bool:
    leaves = jax.tree.leaves(x, is_leaf=is_range)
    return bool(leaves) and all(is_range(leaf) or is_float(leaf) for leaf in leaves)


def holds_traced(f: Any, depth: int = 6) -> bool:
    """Whether a function, such as those of an Optax transformation, closes over a number that is being traced."""
    for cell in getattr(f, "__closure__", None) or ():
        for leaf in jax.tree.leaves(cell.cell_contents):
            if (isinstance(leaf, jax.Array) and not known(leaf)) or (
                depth and callable(leaf) and holds_traced(leaf, depth - 1)
            ):
                return True
    return False


def _has_reverse_mode(updated: Callable[[PyTree], PyTree], w: PyTree) -> bool:
    try:
        jax.eval_shape(jax.grad(lambda g: sum_of(jax.tree.map(jnp.sum, updated(g)[0]))), w)
    except ValueError as error:
        if "while_loop" not in str(error):
            raise
        return False
    return True
