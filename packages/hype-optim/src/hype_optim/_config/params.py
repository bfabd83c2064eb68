from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import equinox as eqx
import optax
from jaxtyping import Array, Float

from ._adjoint import AbstractAdjoint, Auto, Checkpointed
from ._batch import AbstractBatch, Full
from ._checks import (
    Hyperparameter,
    HyperparameterLike,
    hyperparameter,
    instance,
    integer,
    is_numeric,
    non_negative_number,
)
from ._clipping import AbstractGradientClipping, NoClip
from ._learning_rate import AbstractLearningRate, Constant, Unscaled
from ._loss import AbstractLoss, FunctionLoss, L2Loss
from ._method import GD, AbstractMethod, Optax
from ._momentum import AbstractMomentum, NoMomentum
from ._range import is_range
from ._regularization import AbstractRegularization, L2Reg
from ._stopping import AbstractEarlyStopping, NoEarly

Derivative = Literal["reverse", "forward"]


class Params(eqx.Module):
    """How to optimize: one choice of each kind, all of whose floats are leaves of a pytree.

    So a derivative with respect to a `Params` is a `Params` that holds the derivative with respect to every
    hyperparameter. Any float may be a range such as `positive(0.1)`.

    Args:
        epochs: passes over the training data; steps, where there are no data.
        method: where to go from a point; an Optax transformation will do.
        learning_rate: how far to go; a number means `Constant`, `None` the method's own default. Rates that scale
            each entry (`RMSProp`, `AdaGrad`, `Adam`) go with `GD`. An Optax transformation brings its own.
        momentum: how earlier steps carry on; not with a line search, nor with an Optax transformation.
        loss: of one prediction and one target; any function of the two will do. Used by `train`.
        regularization: the penalty that `train` adds.
        gradient_clipping: what is done about long gradients.
        batch: how many examples a step of `train` looks at.
        early_stopping: when to give up.
        improvement_threshold: a loss of size $l$ counts as improved, for early stopping, when it has fallen by more
            than (1 - threshold) |l|; above 0 and at most 1.
        silent: whether to keep quiet; else a bar shows the progress.
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
    loss: Any  # an `AbstractLoss`, or any callable module
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

    def __init__(
        self,
        epochs: int = 100,
        method: AbstractMethod | optax.GradientTransformation | None = None,
        learning_rate: AbstractLearningRate | HyperparameterLike | None = None,
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
        *,
        adjoint: AbstractAdjoint | Literal["auto"] | None = None,
        derivative: Derivative = "reverse",
        tolerance: HyperparameterLike | None = None,
        keep_w_history: bool = False,
        track_sensitivity: bool = False,
    ):
        def choice(name: str, value: Any, default: Any, kind: type, examples: str) -> Any:
            return instance(name, default if value is None else value, kind, examples)

        self.epochs = integer("epochs", epochs, 1)
        if isinstance(method, optax.GradientTransformation):
            method = Optax(partial(_given, method))
        self.method = choice(
            "method", method, GD(), AbstractMethod, "a method such as GD() or Newton(), or an Optax transformation"
        )
        _check_alone(self.method, learning_rate=learning_rate, momentum=momentum)
        if learning_rate is None:
            learning_rate = self.method.default_learning_rate()
        elif is_numeric(learning_rate) or is_range(learning_rate):
            learning_rate = Constant(learning_rate)
        self.learning_rate = instance(
            "learning_rate", learning_rate, AbstractLearningRate, "a number or a rate such as Constant(0.1)"
        )
        self.momentum = choice(
            "momentum", momentum, NoMomentum(), AbstractMomentum, "NoMomentum(), Momentum(0.9) or Nesterov(0.9)"
        )
        _check_combination(self.method, self.learning_rate, self.momentum)
        self.loss = _loss(loss)
        self.regularization = choice(
            "regularization", regularization, L2Reg(), AbstractRegularization, "NoReg(), L1Reg(1e-4) or L2Reg(1e-4)"
        )
        self.gradient_clipping = choice(
            "gradient_clipping", gradient_clipping, NoClip(), AbstractGradientClipping, "NoClip() or NormClip(1.)"
        )
        self.batch = choice("batch", batch, Full(), AbstractBatch, "Full(), Minibatch(100) or Stochastic()")
        self.early_stopping = choice(
            "early_stopping", early_stopping, NoEarly(), AbstractEarlyStopping, "NoEarly() or Early(750, 10)"
        )
        adjoint = Auto() if adjoint == "auto" else adjoint
        self.adjoint = choice("adjoint", adjoint, Checkpointed(), AbstractAdjoint, 'Checkpointed(2) or "auto"')
        # Above 1, a loss that has risen would count as improved.
        self.improvement_threshold = hyperparameter(
            "improvement_threshold", improvement_threshold, lambda x: (x > 0) & (x <= 1), "above 0 and at most 1"
        )
        self.tolerance = None if tolerance is None else non_negative_number("tolerance", tolerance)
        self.validation_interval = integer("validation_interval", validation_interval, 1)
        if derivative not in ("reverse", "forward"):
            raise ValueError(f'`derivative` must be "reverse" or "forward", got {derivative!r}.')
        self.derivative = derivative
        self.silent = instance("silent", silent, bool, "True or False")
        self.return_best = instance("return_best", return_best, bool, "True or False")
        self.keep_w_history = instance("keep_w_history", keep_w_history, bool, "True or False")
        self.track_sensitivity = instance("track_sensitivity", track_sensitivity, bool, "True or False")
        if logging_function is not None and not callable(logging_function):
            raise TypeError(
                f"`logging_function` must be a function of a step, weights and a loss, got {logging_function!r}."
            )
        self.logging_function = logging_function


def _given(transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    return transformation


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
        return L2Loss()
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
