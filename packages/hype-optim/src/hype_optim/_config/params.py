"""`Params`: the whole configuration of a run."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import equinox as eqx
import optax
from hype_ad.internal.checks import boolean, instance, integer, is_real, known
from jaxtyping import Array, Float, Int

from .._adjoint import AbstractAdjoint, Auto, Checkpointed
from .._hyperparameter import Hyperparameter, HyperparameterLike, hyperparameter, is_range, non_negative
from .._objective import Derivative
from .batch import AbstractBatch, Full
from .clipping import AbstractGradientClipping, NoClip
from .early_stopping import AbstractEarlyStopping, NoEarly
from .learning_rate import AbstractFiniteSchedule, AbstractLearningRate, Constant, Unscaled
from .loss import AbstractLoss, FunctionLoss, L2Loss
from .method import GD, AbstractMethod, Optax
from .momentum import AbstractMomentum, NoMomentum
from .regularization import AbstractRegularization, L2Reg, NoReg

_LOSS, _REGULARIZATION, _BATCH = L2Loss(), L2Reg(), Full()  # as objects, to tell them from others that were given


class Params(eqx.Module):
    """How to optimize: one choice of each kind, all of whose floats are leaves of a pytree.

    So a derivative with respect to a `Params` is a `Params` that holds the derivative with respect to every
    hyperparameter. Any float may be a range such as `positive(0.1)`.

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
        gradient_clipping: such as `NormClip(1.)`.
        batch: how many examples a step looks at, such as `Minibatch(100)`. For `train`.
        early_stopping: a patience rule, such as `Early(750, 10)`.
        improvement_threshold: a loss of size $l$ counts as improved, for early stopping, when it has fallen by more
            than (1 - threshold) |l|; above 0 and at most 1.
        silent: whether to show no progress.
        return_best: whether the result is the best point seen or the last.
        validation_interval: epochs from one check (validation, early stopping) to the next.
        logging_function: called as `logging_function(step, w, loss)` about twenty times a run.
        adjoint: how derivatives pass back through the loop; "auto" means `Auto()`.
        derivative: the mode of the derivatives inside the loop; "forward" is for functions with a `lax.while_loop`
            inside.
        tolerance: the run ends when the gradient's 2-norm is at most this; `None` for never.
        keep_w_history: whether the result has the weights at each step.
        track_sensitivity: whether the result says how perturbations grow from step to step, at about the cost of two
            more steps for each.

    Raises:
        TypeError: if an argument is not of its kind.
        ValueError: if a number is out of its range, or if method, rate and momentum do not go together.
    """

    method: AbstractMethod
    learning_rate: AbstractLearningRate
    momentum: AbstractMomentum
    loss: Callable[..., Any]
    regularization: AbstractRegularization
    gradient_clipping: AbstractGradientClipping
    batch: AbstractBatch
    early_stopping: AbstractEarlyStopping
    adjoint: AbstractAdjoint
    improvement_threshold: Hyperparameter
    tolerance: Hyperparameter | None
    epochs: int = eqx.field(static=True)
    validation_interval: int = eqx.field(static=True)
    derivative: Derivative = eqx.field(static=True)
    silent: bool = eqx.field(static=True)
    return_best: bool = eqx.field(static=True)
    keep_w_history: bool = eqx.field(static=True)
    track_sensitivity: bool = eqx.field(static=True)
    logging_function: Callable[[int, Any, float], None] | None = eqx.field(static=True)
    for_train: tuple[str, ...] = eqx.field(static=True, init=False, repr=False)
    """The arguments given that only `train` honors."""

    def __init__(
        self,
        epochs: int = 100,
        method: AbstractMethod | optax.GradientTransformation | None = None,
        learning_rate: AbstractLearningRate | HyperparameterLike | None = None,
        *,
        momentum: AbstractMomentum | None = None,
        loss: AbstractLoss | Callable[[Array, Array], Float[Array, ""]] | None = None,
        regularization: AbstractRegularization | None = None,
        gradient_clipping: AbstractGradientClipping | None = None,
        batch: AbstractBatch | None = None,
        early_stopping: AbstractEarlyStopping | None = None,
        improvement_threshold: HyperparameterLike = 0.995,
        silent: bool = False,
        return_best: bool = True,
        validation_interval: int = 1,
        logging_function: Callable[[int, Any, float], None] | None = None,
        adjoint: AbstractAdjoint | Literal["auto"] | None = None,
        derivative: Derivative = "reverse",
        tolerance: HyperparameterLike | None = None,
        keep_w_history: bool = False,
        track_sensitivity: bool = False,
    ):
        def choice(name: str, value: Any, default: Any, kind: type, accepted: str) -> Any:
            return instance(name, default if value is None else value, kind, accepted)

        self.epochs = integer("epochs", epochs, 1)
        if isinstance(method, optax.GradientTransformation):
            method = Optax(partial(_given, method))
        self.method = choice(
            "method", method, GD(), AbstractMethod, "a method such as GD() or Newton(), or an Optax transformation"
        )
        _check_alone(self.method, learning_rate=learning_rate, momentum=momentum)
        self.learning_rate = _learning_rate(learning_rate, self.method)
        self.momentum = choice(
            "momentum", momentum, NoMomentum(), AbstractMomentum, "NoMomentum(), Momentum(0.9) or Nesterov(0.9)"
        )
        _check_combination(self.method, self.learning_rate, self.momentum)
        self.loss = _loss(loss)
        self.regularization = choice(
            "regularization",
            regularization,
            _REGULARIZATION,
            AbstractRegularization,
            "NoReg(), L1Reg(1e-4) or L2Reg(1e-4)",
        )
        self.gradient_clipping = choice(
            "gradient_clipping", gradient_clipping, NoClip(), AbstractGradientClipping, "NoClip() or NormClip(1.)"
        )
        self.batch = choice("batch", batch, _BATCH, AbstractBatch, "Full(), Minibatch(100) or Stochastic()")
        self.early_stopping = choice(
            "early_stopping", early_stopping, NoEarly(), AbstractEarlyStopping, "NoEarly() or Early(750, 10)"
        )
        adjoint = Auto() if adjoint == "auto" else adjoint
        self.adjoint = choice("adjoint", adjoint, Checkpointed(), AbstractAdjoint, 'Checkpointed(2) or "auto"')
        # Above 1, a loss that has risen would count as improved.
        self.improvement_threshold = hyperparameter(
            "improvement_threshold", lambda x: (x > 0) & (x <= 1), "above 0 and at most 1"
        )(improvement_threshold)
        self.tolerance = None if tolerance is None else non_negative("tolerance")(tolerance)
        self.validation_interval = integer("validation_interval", validation_interval, 1)
        if derivative not in ("reverse", "forward"):
            raise ValueError(f'`derivative` must be "reverse" or "forward", got {derivative!r}.')
        self.derivative = derivative
        self.silent = boolean("silent", silent)
        self.return_best = boolean("return_best", return_best)
        self.keep_w_history = boolean("keep_w_history", keep_w_history)
        self.track_sensitivity = boolean("track_sensitivity", track_sensitivity)
        if logging_function is not None and not callable(logging_function):
            raise TypeError(
                f"`logging_function` must be a function of a step, weights and a loss, got {logging_function!r}."
            )
        self.logging_function = logging_function
        given = {
            "loss": self.loss is not _LOSS,
            "regularization": self.regularization is not _REGULARIZATION and not isinstance(regularization, NoReg),
            "batch": not isinstance(self.batch, Full),
        }
        self.for_train = tuple(name for name, is_given in given.items() if is_given)


def _given(transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    return transformation


def _learning_rate(given: Any, method: AbstractMethod) -> AbstractLearningRate:
    if given is None:
        return method.default_learning_rate()
    if is_real(given) or is_range(given):
        return Constant(given)
    return instance("learning_rate", given, AbstractLearningRate, "a number or a rate such as Constant(0.1)")


def _check_alone(method: AbstractMethod, **others: Any) -> None:
    for name, other in others.items():
        if not method.takes_rate and not (other is None or isinstance(other, Unscaled | NoMomentum)):
            raise ValueError(
                f"`{name}` must not be given beside an Optax transformation, which brings its own, got {other!r}."
            )


def _check_combination(method: AbstractMethod, learning_rate: AbstractLearningRate, momentum: AbstractMomentum) -> None:
    kind = type(learning_rate).__name__
    if learning_rate.scales_entries and not method.takes_scaling:
        raise ValueError(
            f"`learning_rate` must be one that keeps the direction of {type(method).__name__}, such as Constant, "
            f"Backtrack or StrongWolfe; {kind} rescales its entries and goes with GD()."
        )
    if learning_rate.searches and not isinstance(momentum, NoMomentum):
        raise ValueError(
            f"`momentum` must be NoMomentum() with a line search, got {type(momentum).__name__}: what is added to the "
            f"step that {kind} finds would undo what it guarantees."
        )


def _loss(loss: Any) -> Any:
    if loss is None:
        return _LOSS
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(
            f"`loss` must be a loss such as L2Loss(), or a function of a prediction and a target, got {loss!r}."
        )
    return loss if isinstance(loss, eqx.Module) else FunctionLoss(loss)


def as_params(params: Params | None) -> Params:
    """The configuration given, or the default one.

    Raises:
        TypeError: if it is something else.
    """
    return Params() if params is None else instance("params", params, Params, "a Params(...)")


def steps_to_make(params: Params, steps_per_epoch: int, made: Int[Array, ""] | None) -> int:
    """The number of steps of a run, by its epochs or to the end of its schedule.

    Args:
        params: the configuration.
        steps_per_epoch: the number of batches in an epoch.
        made: the number of steps that earlier runs have made, if this one goes on with them.

    Raises:
        ValueError: if no step of a schedule is left, or if how many are left is not known.
    """
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


def as_params_without_data(params: Params | None) -> Params:
    """The configuration given, or the default one, for a run without data.

    Raises:
        TypeError: if it is something else.
        ValueError: if it has settings that need data.
    """
    params = as_params(params)
    if params.for_train:
        names = " and ".join(f"`{name}`" for name in params.for_train)
        raise ValueError(
            f"{names} of `params` must be left out: `minimize` has no data to use it on. Write it into `f`, or use "
            "`train`."
        )
    return params
