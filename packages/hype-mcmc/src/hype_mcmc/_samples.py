"""What a run of `sample` gives."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from hype_ad.internal import html
from hype_ad.internal.checks import known
from hype_ad.internal.text import count
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

from ._arviz import inference_data
from ._custom_types import ChainKeys
from ._diagnostics import bulk_ess, ebfmi, rank_rhat, tail_ess
from ._kernel import AbstractKernel
from ._model import AbstractModel, Predictive
from ._names import labels_of, named
from ._summary import Summary, summarize

_DIAGNOSED = 1000  # numbers of a position that a notebook shows unasked


class SamplerState(eqx.Module):
    """Where a run stopped, so that another can go on as if it had not.

    Attributes:
        chains: the state of each chain, along the leading axis: an `AbstractKernelState`.
        kernel: the kernel that made the draws, adapted if there was a warm-up.
        keys: what each chain draws from.
        iteration: how many transitions were made after warm-up.
        parameters: what the positions stand for by the model or the transform of the run, which has to be given again;
            None if it had none.
    """

    chains: PyTree
    kernel: AbstractKernel[Any, Any]
    keys: ChainKeys
    iteration: Int[Array, ""]
    parameters: PyTree[Shaped[Array, "chains ..."]] = None


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
        warmup_steps: steps of the integrator that all chains together took in warm-up, and in a first run if the draws
            were made anew.
        warmup_transitions: transitions of each chain in the warm-up of the kernel that made the draws.
        state: where the run stopped, for `sample(..., state=...)`.
        model: what was sampled, if it is an `AbstractModel` or has constraints.
    """

    draws: PyTree[Shaped[Array, "chains draws ..."]]
    acceptance: Float[Array, "chains draws"]
    energy: Float[Array, "chains draws"]
    divergences: Bool[Array, "chains draws"]
    num_steps: Int[Array, "chains draws"]
    warmup_steps: Int[Array, ""]
    warmup_transitions: Int[Array, ""]
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

    def _repr_html_(self) -> str:
        """The summary, and the chains of the number that they agree least on, as a notebook shows them."""
        leaves = jax.tree.leaves(self.draws)
        told = self.acceptance, self.energy, self.divergences
        if not html.has_values(*told, *leaves) or self.energy.ndim != 2 or self.energy.shape[1] < 4:
            return html.preformatted(repr(self))
        chains, number = self.energy.shape
        title = f"Samples: {number:,} draws of each of {count(chains, 'chain')}"
        how = f"Acceptance {float(np.mean(self.acceptance)):.3f}, {count(int(np.sum(self.divergences)), 'divergence')}."
        quantities = sum(leaf[0, 0].size for leaf in leaves)
        if quantities > _DIAGNOSED:
            many = f"Diagnostics of all {quantities:,} numbers take a while: `print(samples.summary())`."
            return html.page(title, html.paragraph(how), html.paragraph(many), html.folded("fields", repr(self)))
        summary = self.summary()
        worst = int(np.argmax(np.nan_to_num(summary.rhat, nan=-1.0)))
        chosen = np.concatenate([_rows(leaf) for leaf in named(self.draws).values()])[worst]
        trace = html.curves("draw", f"{summary.names[worst]} in each chain", {"": (np.arange(number), chosen)})
        return html.page(title, html.paragraph(how), summary._repr_html_(), trace, html.folded("fields", repr(self)))

    def summary(self) -> Summary:
        """A table of means, quantiles and diagnostics of each number of a position, with warnings in words."""
        self._check()
        by_name = named(self.draws)
        labels = [label for name, draws in by_name.items() for label in labels_of(name, draws.shape[2:])]
        rows = np.concatenate([_rows(draws) for draws in by_name.values()])
        return summarize(labels, rows, *map(np.asarray, (self.divergences, self.energy, self.acceptance)))

    def to_arviz(
        self,
        *,
        key: PRNGKeyArray | None = None,
        log_likelihood: Callable[[Any], Any] | None = None,
        posterior_predictive: Callable[[Any, Any], Any] | None = None,
        prior: Callable[[Any], Any] | None = None,
        observed_data: PyTree[Any] = None,
        coords: Mapping[str, Sequence[Any]] | None = None,
        dims: Mapping[str, Sequence[str]] | None = None,
        groups: Collection[str] | None = None,
    ) -> Any:
        """The run as ArviZ wants it: an `InferenceData` (before ArviZ 1.0) or a `DataTree`.

        Its plots mark divergent transitions, and its names of statistics are those that `plot_energy` and others read.
        A model of `from_numpyro` knows its likelihood, data, predictions, prior and dimensions by itself. What follows
        is used in place of that, and is to be given for a log density that is a function. Functions are mapped over
        the draws in a compiled program; they give pytrees of arrays, or an array, which is named `y`.

        Args:
            key: what predictions and draws of the prior are made from; without one there are none of a model's own.
            log_likelihood: from a draw to the log likelihood of each observation, which `loo` and `compare` read.
            posterior_predictive: from a key and a draw to new data, which `plot_ppc` reads. Of draws of the prior it
                makes the group `prior_predictive`.
            prior: from a key to a draw of the prior, built like a draw. There are as many as a chain has.
            observed_data: the data.
            coords: labels along a dimension, by its name.
            dims: names of the axes of a quantity, by its name.
            groups: names of the groups to make; all that are known if not given.

        Raises:
            ImportError: if ArviZ is not installed.
            ValueError: if `key` is missing for a function that needs one, if a group is not known or has no name of
                ArviZ's, or if the draws have no values, or more axes than chains and draws, as under `jit` and `vmap`.
        """
        self._check()
        known = Predictive() if self.model is None else self.model.predictive()
        if key is None:
            known = known._replace(posterior_predictive=None, prior=None)
        given = Predictive(log_likelihood, posterior_predictive, prior, observed_data)._asdict()
        used = known._replace(**{name: value for name, value in given.items() if value is not None})
        statistics = {
            "acceptance_rate": np.asarray(self.acceptance),
            "diverging": np.asarray(self.divergences),
            "energy": np.asarray(self.energy),
            "n_steps": np.asarray(self.num_steps),
        }
        dims = {**(known.dims or {}), **(dims or {})}
        return inference_data(self.draws, statistics, used, key, coords or {}, dims, groups)

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
