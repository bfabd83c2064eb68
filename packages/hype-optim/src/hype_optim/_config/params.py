"""`Params`: the whole configuration of a run."""

from collections.abc import Callable
from dataclasses import KW_ONLY
from functools import partial
from typing import Any, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from hype_ad.internal.checks import boolean, function, instance, is_real, known
from hype_ad.internal.mode import Mode, check_mode
from jaxtyping import Array, Int

from .._adjoint.auto import Auto
from .._adjoint.base import AbstractAdjoint
from .._adjoint.checkpointed import Checkpointed
from .._hyperparameter.converters import (
    Hyperparameter,
    HyperparameterLike,
    as_arrays,
    at_least,
    hyperparameter,
    non_negative,
    optional,
)
from .._hyperparameter.ranges import is_range
from .batch import AbstractBatch, Full
from .clipping import AbstractGradientClipping, NoClip
from .constraint.base import AbstractConstraint, AbstractSet, NoConstraint
from .early_stopping import AbstractEarlyStopping, NoEarly
from .learning_rate.backtrack import Backtrack
from .learning_rate.base import AbstractLearningRate, Unscaled
from .learning_rate.decay import Constant
from .learning_rate.schedule import AbstractFiniteSchedule, AbstractSchedule
from .learning_rate.strong_wolfe import StrongWolfe
from .loss import FunctionLoss, L2Loss
from .method.base import AbstractMethod
from .method.gd import GD
from .method.optax import Optax, holds_traced
from .momentum import AbstractMomentum, NoMomentum
from .regularization import AbstractRegularization, L2Reg, NoReg, all_weights

T = TypeVar("T")
Loss = Callable[[Array, Array], Any]
LogFunction = Callable[[int, Any, float], None]


_default_penalty = partial(L2Reg, where=all_weights)
_log = partial(function, "logging_function", accepted="a function of a step, weights and a loss")


def _choice(name: str, default: Callable[[], T], kind: type[T], accepted: str) -> Callable[[T | None], T]:
    """A converter that takes members of a family, and makes the default of `None`, in the precision of the moment."""
    return lambda given: instance(name, default() if given is None else given, kind, accepted)


def _method(given: AbstractMethod | optax.GradientTransformation | None) -> AbstractMethod:
    if isinstance(given, optax.GradientTransformation):
        if any(map(holds_traced, given)):
            raise TypeError(
                "`method` must be an Optax transformation of known numbers, but holds one that is being differentiated "
                'or compiled: write Optax(optax.sgd, {"learning_rate": rate}) in place of optax.sgd(rate).'
            )
        return Optax(partial(_constant, given))
    accepted = "a method such as GD() or Newton(), or an Optax transformation such as optax.adam(0.1)"
    return instance("method", GD() if given is None else given, AbstractMethod, accepted)


def _constant(transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    return transformation


def _learning_rate(given: AbstractLearningRate | HyperparameterLike | None) -> AbstractLearningRate:
    if is_real(given) or is_range(given):
        return Constant(given)
    accepted = "a number, a rate such as Constant(0.1), or one for each step as StepSchedule([0.1, 0.2])"
    return instance("learning_rate", given, AbstractLearningRate, accepted)


def _loss(given: Loss | None) -> Any:
    if given is None:
        return L2Loss()
    if isinstance(given, type) or not callable(given):
        raise TypeError(
            f"`loss` must be a loss such as L2Loss(), or a function of a prediction and a target, got {given!r}."
        )
    return given if isinstance(given, eqx.Module) else FunctionLoss(given)


def _adjoint(given: AbstractAdjoint | Literal["auto"] | None) -> AbstractAdjoint:
    adjoint = {None: Checkpointed(), "auto": Auto()}.get(given, given) if isinstance(given, str | None) else given
    return instance("adjoint", adjoint, AbstractAdjoint, 'an adjoint such as Checkpointed(2), or "auto"')


class Params(eqx.Module):
    r"""How to optimize: one choice of each kind, all of whose floats are leaves of a pytree.

    So a derivative with respect to a `Params` is a `Params` that holds the derivative with respect to every
    hyperparameter. Any float may be a range such as `positive(0.1)`.

    Examples:
        >>> from hype_optim import Momentum, Params
        >>> params = Params(epochs=50, learning_rate=0.1, momentum=Momentum(0.9))
        >>> print(params.epochs, params.learning_rate, params.momentum)
        50 Constant(rate=f32[]) Momentum(decay=f32[])

    Args:
        epochs: passes over the training data; steps, where there are no data.
        method: the search direction, such as `LBFGS()`, or any `optax.GradientTransformation`.
        learning_rate: the step length along it: a number, which means `Constant`, a schedule or a line search; `None`
            for the method's own default. Rates that scale each entry (`RMSProp`, `AdaGrad`, `Adam`) go with `GD`. An
            Optax transformation brings its own.
        momentum: such as `Momentum(0.9)`; not with a line search, nor with an Optax transformation.
        loss: of one prediction and one target; any function of the two will do. `L2Loss()`, as in the original, if not
            given. For `train`.
        regularization: the penalty that is added to the loss. `L2Reg(1e-4)`, as in the original, if not given. For
            `train`.
        constraint: what the weights are brought back to after each step, such as `Box(0., 1.)` or `SoftThreshold(0.1)`;
            also the first weights, if it is a set. With `GD`, and with rates and momenta that its fixed points are
            stationary points of, else it raises.
        gradient_clipping: such as `NormClip(1.)`.
        batch: how many examples a step looks at, such as `Minibatch(100)`. For `train`.
        early_stopping: a patience rule, such as `Early(750, 10)`.
        improvement_threshold: a loss of size $l$ counts as improved, for early stopping, when it has fallen by more
            than (1 - threshold) |l|; above 0 and at most 1.
        silent: whether to show no progress.
        return_best: whether the result is the best point seen or the last. Those of a line search on one objective are
            the same, but for rounding.
        validation_interval: epochs from one check (validation, early stopping) to the next.
        logging_function: called as `logging_function(step, w, loss)` about twenty times a run.
        adjoint: how derivatives pass back through the loop; "auto" means `Auto()`.
        derivative: the mode of the derivatives inside the loop; "forward" is for functions with a `lax.while_loop`
            inside.
        tolerance: the run ends when the gradient's 2-norm is at most this, under a constraint that of $w -
            \operatorname{prox}(w - g)$; `None` for never.
        keep_w_history: whether the result has the weights at each step.
        track_sensitivity: whether the result says how perturbations grow from step to step, at about the cost of two
            more steps for each.
        evaluate: whether the loss of the weights returned is computed, on all of the training data and on the
            validation data. Without it `loss` and `valid_loss` of the result are NaN, which saves that where only the
            weights matter, as in meta-learning; it goes with `return_best=False`.

    Raises:
        TypeError: if an argument is not of its kind.
        ValueError: if a number is out of its range, or if method, rate and momentum do not go together.
    """

    epochs: int = eqx.field(static=True, converter=at_least("epochs", 1), default=100)
    method: AbstractMethod = eqx.field(converter=_method, default=None)
    learning_rate: AbstractLearningRate = eqx.field(converter=_learning_rate, default=None)
    _: KW_ONLY
    momentum: AbstractMomentum = eqx.field(
        converter=_choice("momentum", NoMomentum, AbstractMomentum, "NoMomentum(), Momentum(0.9) or Nesterov(0.9)"),
        default=None,
    )
    loss: Loss = eqx.field(converter=_loss, default=None)
    regularization: AbstractRegularization = eqx.field(
        converter=_choice("regularization", _default_penalty, AbstractRegularization, "NoReg(), L1Reg() or L2Reg()"),
        default=None,
    )
    constraint: AbstractConstraint = eqx.field(
        converter=_choice("constraint", NoConstraint, AbstractConstraint, "a constraint such as Box(0., 1.)"),
        default=None,
    )
    gradient_clipping: AbstractGradientClipping = eqx.field(
        converter=_choice("gradient_clipping", NoClip, AbstractGradientClipping, "NoClip() or NormClip(1.)"),
        default=None,
    )
    batch: AbstractBatch = eqx.field(
        converter=_choice("batch", Full, AbstractBatch, "Full(), Minibatch(100) or Stochastic()"), default=None
    )
    early_stopping: AbstractEarlyStopping = eqx.field(
        converter=_choice("early_stopping", NoEarly, AbstractEarlyStopping, "NoEarly() or Early(750, 10)"),
        default=None,
    )
    improvement_threshold: Hyperparameter = eqx.field(
        # Above 1, a loss that has risen would count as improved.
        converter=hyperparameter("improvement_threshold", lambda x: (x > 0) & (x <= 1), "above 0 and at most 1"),
        default=0.995,
    )
    silent: bool = eqx.field(static=True, converter=partial(boolean, "silent"), default=False)
    return_best: bool = eqx.field(static=True, converter=partial(boolean, "return_best"), default=True)
    validation_interval: int = eqx.field(static=True, converter=at_least("validation_interval", 1), default=1)
    logging_function: LogFunction | None = eqx.field(static=True, converter=optional(_log), default=None)
    adjoint: AbstractAdjoint = eqx.field(converter=_adjoint, default=None)
    derivative: Mode = eqx.field(static=True, converter=partial(check_mode, "derivative"), default="reverse")
    tolerance: Hyperparameter | None = eqx.field(converter=optional(non_negative("tolerance")), default=None)
    keep_w_history: bool = eqx.field(static=True, converter=partial(boolean, "keep_w_history"), default=False)
    track_sensitivity: bool = eqx.field(static=True, converter=partial(boolean, "track_sensitivity"), default=False)
    evaluate: bool = eqx.field(static=True, converter=partial(boolean, "evaluate"), default=True)

    def __post_init__(self) -> None:
        self.method = _method(self.method)
        # `Unscaled` is left over from an Optax transformation that `dataclasses.replace` has replaced.
        if self.learning_rate is None or (isinstance(self.learning_rate, Unscaled) and self.method.takes_rate):
            bound = isinstance(self.constraint, AbstractConstraint) and not isinstance(self.constraint, NoConstraint)
            self.learning_rate = Backtrack() if bound else self.method.default_learning_rate()

    def __check_init__(self) -> None:
        method, rate, momentum = self.method, self.learning_rate, self.momentum
        brought = {} if method.takes_rate else {"learning_rate": (rate, Unscaled), "momentum": (momentum, NoMomentum)}
        for name, (given, neutral) in brought.items():
            if not isinstance(given, neutral):
                raise ValueError(
                    f"`{name}` must not be given beside an Optax transformation, which brings its own: leave it out "
                    f"or set it to None, got {given!r}."
                )
        kind = type(rate).__name__
        if rate.scales_entries and not method.takes_scaling:
            raise ValueError(
                f"`learning_rate` must be one that keeps the direction of {type(method).__name__}, such as Constant, "
                f"Backtrack or StrongWolfe, or None for its default; {kind} rescales its entries and goes with GD()."
            )
        if not isinstance(self.constraint, NoConstraint):
            self._check_constrained()
        if self.return_best and not self.evaluate:
            raise ValueError(
                "`return_best` must be False with evaluate=False: the best weights are found by evaluating."
            )
        if rate.searches and not isinstance(momentum, NoMomentum):
            raise ValueError(
                f"`momentum` must be NoMomentum() with a line search, got {type(momentum).__name__}: what is added to "
                f"the step that {kind} finds would undo what it guarantees."
            )

    def _check_constrained(self) -> None:
        """Raises unless all points that stay where they are under a step and the constraint are stationary."""
        method, rate, momentum = self.method, self.learning_rate, self.momentum
        name, kind = type(self.constraint).__name__, type(rate).__name__
        if not isinstance(method, GD):
            raise ValueError(f"`method` must be GD() with the constraint {name}, got {type(method).__name__}.")
        if isinstance(rate, StrongWolfe):
            raise ValueError(
                f"`learning_rate` must not be StrongWolfe with {name}, since a projected step bends: take Backtrack()."
            )
        if not isinstance(self.constraint, AbstractSet) and not isinstance(rate, AbstractSchedule | Backtrack):
            raise ValueError(
                f"`learning_rate` must be a number, a schedule or Backtrack() with {name}, which takes the length of a "
                f"step, got {kind}."
            )
        if rate.scales_entries and not self.constraint.entrywise:
            raise ValueError(
                f"`learning_rate` must not be {kind} with {name}: with rates of their own, entries would come to rest "
                "where the objective has no minimum. Take a number, a schedule or Backtrack()."
            )
        if not (momentum.remembers_step or isinstance(momentum, NoMomentum)):
            raise ValueError(
                f"`momentum` must be NoMomentum() or Momentum(0.9) with {name}, got {type(momentum).__name__}."
            )


def as_params(params: Params | None) -> Params:
    """The configuration given, or the default one, with Python floats as arrays."""
    params = Params() if params is None else as_arrays(instance("params", params, Params, "a Params(...)"))
    for name in ("tolerance", "improvement_threshold"):
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(getattr(params, name))]
        if shapes not in ([], [()]):
            raise ValueError(f"`{name}` of `params` must be one number, got shapes {shapes}; use vmap for several.")
    return params


def as_params_without_data(params: Params | None) -> Params:
    """The same for a run without data, whose configuration must have no settings that need data."""
    params = as_params(params)
    penalty = params.regularization
    is_default = {
        "loss": isinstance(params.loss, L2Loss),
        "regularization": isinstance(penalty, NoReg) or (isinstance(penalty, L2Reg) and penalty.where is all_weights),
        "batch": isinstance(params.batch, Full),
    }
    if not all(is_default.values()):
        names = " and ".join(f"`{name}`" for name, default in is_default.items() if not default)
        raise ValueError(
            f"{names} of `params` must be left out: `minimize` has no data to use it on. Write it into `f`, or use "
            "`train`."
        )
    return params


def steps_to_make(params: Params, steps_per_epoch: int, made: Int[Array, ""] | None) -> int:
    """The number of steps of a run, by its epochs or to the end of its schedule; `made` is that of earlier runs."""
    if not isinstance(params.learning_rate, AbstractFiniteSchedule):
        return params.epochs * steps_per_epoch
    scheduled = params.learning_rate.total_steps(steps_per_epoch)
    if made is None:
        return scheduled
    if not known(made):
        raise ValueError("`state` must be known to go on with a schedule: resume outside of `jit`, `grad` and `vmap`.")
    left = scheduled - int(made)
    if left <= 0:
        raise ValueError(
            f"`state` must be within its schedule of {scheduled} steps, got one at step {int(made)}: nothing is left."
        )
    return left
