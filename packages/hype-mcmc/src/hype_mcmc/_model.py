"""What a model is: a log density in coordinates without bounds, and the way from them to its parameters."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from ._custom_types import Position


class Predictive(NamedTuple):
    """What ArviZ wants to know of a model beside its draws. All may be left out.

    Attributes:
        log_likelihood: from a draw to the log likelihood of each observation: an array, or a dictionary of them.
        posterior_predictive: from a key and a draw to new data, likewise.
        prior: from a key to a draw of the prior, built like a draw of the posterior.
        observed_data: the data, likewise.
        dims: names of the axes of a quantity, by its name.
    """

    log_likelihood: Callable[[Any], Any] | None = None
    posterior_predictive: Callable[[Any, Any], Any] | None = None
    prior: Callable[[Any], Any] | None = None
    observed_data: Any = None
    dims: Mapping[str, list[str]] | None = None


class AbstractModel(eqx.Module):
    """A log density of unconstrained coordinates that knows what they mean: what `sample` takes as `logdensity`.

    A callable pytree, whose arrays are arguments of the compiled program. `sample` moves in the unconstrained
    coordinates; `x0` and the draws are in those of the model.
    """

    @abstractmethod
    def __call__(self, position: Position) -> Float[Array, ""]:
        """The log density of the unconstrained coordinates, with the Jacobian of `constrain` in it."""

    @abstractmethod
    def initial(self) -> Position | None:
        """Unconstrained coordinates around which chains can start, or None if the model does not know any."""

    @abstractmethod
    def constrain(self, position: Position) -> PyTree[Array]:
        """The draw that unconstrained coordinates stand for, with what else is to be known of it."""

    @abstractmethod
    def unconstrain(self, x0: PyTree[Any]) -> Position:
        """The unconstrained coordinates of a draw."""

    @abstractmethod
    def source(self) -> Callable[..., Any] | tuple[Callable[..., Any], ...]:
        """The user's functions; when what one reads beside its arguments has changed, the program is compiled anew."""

    @abstractmethod
    def predictive(self) -> Predictive:
        """What is known of data and prior."""
