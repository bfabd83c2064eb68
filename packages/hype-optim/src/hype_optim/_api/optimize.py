"""`Optimize`: `minimize` and `train` by the names and in the argument order of the original Hype."""

from collections.abc import Callable
from typing import Any

from hype_ad.internal.checks import function
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._config.params import Params, as_params
from .._data.dataset import Dataset
from .._data.stream import Stream
from .._hyperparameter.converters import as_arrays
from .._objective import Losses
from .._run.result import Result
from .._run.state import RunState, check_state
from .._run.training import Training, fit
from .minimize import minimize
from .train import checked, examples


class Optimize:
    """The original's names and argument order for `minimize` and `train`."""

    @staticmethod
    def Minimize(
        f: Callable[[Any], Losses],
        w0: PyTree,
        params: Params | None = None,
        *,
        state: RunState | None = None,
    ) -> Result:
        """Find a point where a function of one pytree is small, as `minimize` does."""
        return minimize(f, w0, params, state=state)

    @staticmethod
    def Train(
        f: Callable[[PyTree, Array], PyTree],
        w0: PyTree,
        data: Dataset | Stream,
        params: Params | None = None,
        *,
        valid: Dataset | Stream | None = None,
        key: PRNGKeyArray | None = None,
        batched: bool = False,
        state: RunState | None = None,
    ) -> Result:
        """Fit a model given as a function `f(w, x)` of weights and one example to data, as `train` does."""
        function("f", f, "a function of weights and one example")
        settings = {"valid": valid, "key": key, "batched": batched, "state": check_state(state)}
        return fit(checked("w0", Training(f, as_arrays(w0), examples("data", data), as_params(params), **settings)))
