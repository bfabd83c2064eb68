from collections.abc import Callable
from typing import Any

from jaxtyping import Array, PRNGKeyArray, PyTree

from ._data import Dataset
from ._loop import RunState
from ._minimize import minimize
from ._objective import Scalar
from ._params import Params
from ._point import as_arrays
from ._result import Result
from ._train import fit


class Optimize:
    """The original's names and argument order for `minimize` and `train`."""

    @staticmethod
    def Minimize(
        f: Callable[[Any], Scalar],
        w0: PyTree,
        params: Params | None = None,
        *,
        state: RunState | None = None,
    ) -> Result:
        """`minimize`, which see."""
        return minimize(f, w0, params, state=state)

    @staticmethod
    def Train(
        f: Callable[[PyTree, Array], PyTree],
        w0: PyTree,
        data: Dataset,
        params: Params | None = None,
        *,
        valid: Dataset | None = None,
        key: PRNGKeyArray | None = None,
        batched: bool = False,
        state: RunState | None = None,
    ) -> Result:
        """`train`, which see, for a model given as a function `f(w, x)` of weights and one example."""
        return fit(f, as_arrays(w0), data, params, valid, key, batched, state)
