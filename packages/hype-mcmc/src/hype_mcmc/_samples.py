"""What a run of `sample` gives."""

import importlib.metadata
from collections import Counter
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from hype_ad.internal.checks import known
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from ._custom_types import ChainKeys
from ._diagnostics import bulk_ess, ebfmi, rank_rhat, tail_ess
from ._kernel import AbstractKernel
from ._model import AbstractModel
from ._summary import Summary, summarize


class SamplerState(eqx.Module):
    """Where a run stopped, so that another can go on as if it had not.

    Attributes:
        chains: the state of each chain, along the leading axis: an `AbstractKernelState`.
        kernel: the kernel that made the draws, adapted if there was a warm-up.
        keys: what each chain draws from.
        iteration: how many transitions were made after warm-up.
    """

    chains: PyTree
    kernel: AbstractKernel[Any, Any]
    keys: ChainKeys
    iteration: Int[Array, ""]


class Samples(eqx.Module):
    """Draws, and what is known of how they came about. A pytree; its leading axes are chains and draws.

    With a kernel that is used as given (`num_warmup=0`), everything is differentiable in the kernel, the start and
    the data.

    Attributes:
        draws: positions; of a model, or with a `transform`, in the model's coordinates, with what else it tells.
        acceptance: the Metropolis acceptance probability; of thinned transitions the mean.
        energy: the Hamiltonian of each draw; NaN of a kernel without a momentum.
        divergences: whether a transition was divergent; of thinned transitions, whether any was.
        num_steps: steps of the integrator that a draw took.
        warmup_steps: steps of the integrator that all chains together took in warm-up.
        state: where the run stopped, for `sample(..., state=...)`.
        model: what was sampled, if it is an `AbstractModel` or has constraints.
    """

    draws: PyTree[Shaped[Array, "chains draws ..."]]
    acceptance: Float[Array, "chains draws"]
    energy: Float[Array, "chains draws"]
    divergences: Bool[Array, "chains draws"]
    num_steps: Int[Array, "chains draws"]
    warmup_steps: Int[Array, ""]
    state: SamplerState
    model: AbstractModel | None = None
    coordinates: PyTree[Float[Array, "chains draws ..."]] = None

    @property
    def unconstrained(self) -> PyTree[Float[Array, "chains draws ..."]]:
        """The draws in the coordinates that the chains moved in, which are `draws` where there are no constraints."""
        return self.draws if self.model is None else self.coordinates

    @property
    def kernel(self) -> AbstractKernel[Any, Any]:
        """The kernel that made the draws."""
        return self.state.kernel

    def ess(self) -> PyTree[Float[np.ndarray, "..."]]:
        """Bulk effective sample size of each number of a position (Vehtari et al. 2021).

        Returns:
            A pytree built like one position; NaN where the draws do not vary, or one of them is NaN.

        Raises:
            ValueError: if there are fewer than 4 draws, or the draws are being traced.
        """
        return self._of_each(bulk_ess)

    def tail_ess(self) -> PyTree[Float[np.ndarray, "..."]]:
        """The smaller effective sample size of the 5% and 95% quantiles; otherwise as `ess`."""
        return self._of_each(tail_ess)

    def rhat(self) -> PyTree[Float[np.ndarray, "..."]]:
        """Rank-normalized split R-hat of each number of a position, below 1.01 for chains that agree; else as `ess`."""
        return self._of_each(rank_rhat)

    def ebfmi(self) -> Float[np.ndarray, " chains"]:
        """The energy Bayesian fraction of missing information of each chain (Betancourt 2016), low below 0.3."""
        return ebfmi(np.asarray(self.energy, np.float64))

    def summary(self) -> Summary:
        """A table of means, quantiles and diagnostics of each number of a position, with warnings in words."""
        self._check()
        named = _named(self.draws)
        labels = [label for name, draws in named.items() for label in _labels(name, draws.shape[2:])]
        rows = np.concatenate([_rows(draws) for draws in named.values()])
        return summarize(labels, rows, np.asarray(self.divergences), np.asarray(self.energy))

    def to_arviz(self) -> Any:
        """The draws as ArviZ wants them: an `InferenceData` (before ArviZ 1.0) or a `DataTree`.

        Its plots mark divergent transitions, and its names of statistics are those that `plot_energy` and others read.

        Raises:
            ImportError: if ArviZ is not installed.
        """
        try:
            import arviz
        except ImportError as error:
            raise ImportError("`to_arviz` needs ArviZ: `pip install 'hype-mcmc[arviz]'`.") from error

        posterior = _named(self.draws)
        statistics = {
            "acceptance_rate": np.asarray(self.acceptance),
            "diverging": np.asarray(self.divergences),
            "energy": np.asarray(self.energy),
            "n_steps": np.asarray(self.num_steps),
        }
        if int(importlib.metadata.version("arviz").split(".")[0]) >= 1:
            return arviz.from_dict({"posterior": posterior, "sample_stats": statistics})
        return arviz.from_dict(posterior=posterior, sample_stats=statistics)

    def _check(self) -> None:
        if not known(self.energy):
            raise ValueError("Diagnostics need the values of draws: call them outside of `jit`, `grad` and `vmap`.")
        if self.energy.ndim != 2:
            raise ValueError(f"Diagnostics are of one run, with axes chains and draws; got axes {self.energy.shape}.")
        if self.energy.shape[1] < 4:
            raise ValueError(f"Diagnostics need at least 4 draws a chain, got {self.energy.shape[1]}.")

    def _of_each(self, diagnostic: Callable[[np.ndarray], np.ndarray]) -> PyTree[Float[np.ndarray, "..."]]:
        self._check()
        return jax.tree.map(lambda draws: diagnostic(_rows(draws)).reshape(draws.shape[2:]), self.draws)


def _rows(draws: Float[Array | np.ndarray, "chains draws ..."]) -> Float[np.ndarray, "rows chains draws"]:
    """The draws of each number of a leaf, along the leading axis."""
    array = np.asarray(draws, np.float64)
    return np.ascontiguousarray(array.reshape(*array.shape[:2], -1).transpose(2, 0, 1))


def _named(draws: PyTree[Array]) -> dict[str, np.ndarray]:
    """The leaves by their paths, `x` where there is only one leaf without a path.

    A path is written `a.b`, or `['a']['b']` where another leaf would have the same name or label.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(draws)
    short = [jax.tree_util.keystr(path, simple=True, separator=".") or "x" for path, _ in leaves]
    uses = [{name, *_labels(name, leaf.shape[2:])} for name, (_, leaf) in zip(short, leaves, strict=True)]
    count = Counter(label for labels in uses for label in labels)
    return {
        name if max(map(count.__getitem__, labels)) == 1 else jax.tree_util.keystr(path): np.asarray(leaf, np.float64)
        for name, labels, (path, leaf) in zip(short, uses, leaves, strict=True)
    }


def _labels(name: str, shape: tuple[int, ...]) -> list[str]:
    """What the numbers of a leaf are called: `beta[0, 1]`."""
    return [f"{name}[{', '.join(map(str, index))}]" if index else name for index in np.ndindex(shape)]
