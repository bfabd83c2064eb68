"""A log density whose parameters have constraints, as a model."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from hype_ad.internal.tree import same_shapes
from jaxtyping import Array, Float, PyTree

from ._custom_types import LogDensity, Position
from ._logdensity import as_pytree, check_logdensity
from ._model import AbstractModel, Predictive
from ._transform import AbstractTransform, Bijection


class Constrained(AbstractModel):
    """A log density of constrained parameters, to be sampled without the constraints.

    `sample(logdensity, x0, transform=transform)` makes one. It is a log density of the unconstrained coordinates
    itself, for objectives such as `elbo`.

    Args:
        logdensity: the log density of the constrained parameters. Differentiable, as everywhere.
        transform: an `AbstractTransform` or None, or a pytree of them built like the parameters, or like the
            beginning of their tree. None stands for numbers without constraints.

    Raises:
        TypeError: if `logdensity` is not a function, or `transform` holds something else.
    """

    logdensity: LogDensity
    transform: PyTree[Any]

    def __init__(self, logdensity: LogDensity, transform: PyTree[Any]):
        self.logdensity = as_pytree(check_logdensity(logdensity))
        for leaf in jax.tree.leaves(transform, is_leaf=_is_transform):
            if leaf is not None and not isinstance(leaf, AbstractTransform):
                raise TypeError(
                    f"`transform` must hold transforms such as `Positive()`, or None for what has no bounds, got "
                    f"{leaf!r}."
                )
        self.transform = transform

    def __call__(self, position: Position) -> Float[Array, ""]:
        """The log density of the parameters, plus the logarithm of the determinant of the Jacobian."""
        parameters, log_dets = self._forward(position)
        value = jnp.asarray(self.logdensity(parameters))
        return sum((log_det.astype(value.dtype) for log_det in log_dets), value)

    def initial(self) -> None:
        """None: the structure of the parameters is not known."""

    def constrain(self, position: Position) -> PyTree[Array]:
        """The parameters."""
        return self._forward(position)[0]

    def unconstrain(self, x0: PyTree[Any]) -> Position:
        """The unconstrained coordinates of parameters; a ValueError if they have no shape that a transform is for."""
        return self._map(lambda transform, x: x if transform is None else _inverse(transform, x), x0)

    def source(self) -> tuple[Callable[..., Any], ...]:
        """The log density, and the functions of bijections."""
        parts = jax.tree.leaves(self.transform, is_leaf=_is_transform)
        functions = [(part.forward, part.inverse_of, part.log_det) for part in parts if isinstance(part, Bijection)]
        return (self.logdensity, *sum(functions, ()))

    def predictive(self) -> Predictive:
        """Nothing is known."""
        return Predictive()

    def _forward(self, position: Position) -> tuple[PyTree[Array], list[Float[Array, ""]]]:
        log_dets: list[Float[Array, ""]] = []

        def forward(transform: AbstractTransform | None, y: Any) -> Any:
            if transform is None:
                return y
            x, log_det = transform.forward_and_log_det(y)
            log_dets.append(log_det)
            return x

        return self._map(forward, position), log_dets

    def _map(self, function: Callable[[Any, Any], Any], tree: PyTree[Any]) -> PyTree[Any]:
        """`function` of each transform and of the part of the tree at which it stands."""
        try:
            parts = jax.tree.structure(self.transform, is_leaf=_is_transform).flatten_up_to(tree)
        except ValueError as error:
            raise ValueError(
                f"`transform` must be built like `x0`, or like the beginning of its tree: {error}"
            ) from None
        transforms, structure = jax.tree.flatten(self.transform, is_leaf=_is_transform)
        return jax.tree.unflatten(structure, list(map(function, transforms, parts)))


def _inverse(transform: AbstractTransform, x: Any) -> Any:
    shapes = jax.tree.map(jnp.shape, x)
    wrong = f"`x0` must have the shape that its `transform` is for; `{type(transform).__name__}` got {shapes}"
    try:
        y = transform.inverse(x)
        back, _ = jax.eval_shape(transform.forward_and_log_det, y)
    except (IndexError, ValueError) as error:
        raise ValueError(f"{wrong}: {error}") from error
    if not same_shapes(back, x):
        raise ValueError(f"{wrong}, and gives {jax.tree.map(jnp.shape, back)} back.")
    return y


def _is_transform(x: Any) -> bool:
    return x is None or isinstance(x, AbstractTransform)
