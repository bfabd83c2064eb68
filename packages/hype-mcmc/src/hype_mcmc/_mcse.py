"""The Monte Carlo standard error of anything that is computed from draws."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from hype_ad.internal.checks import function, integer
from hype_ad.internal.tree import square_root
from jaxtyping import Array, Float, PyTree, Shaped

from ._expectation import check_draws
from ._samples import Samples

_OF_EACH = ("draws", "coordinates", "acceptance", "energy", "divergences", "num_steps")  # draw of a run


def mcse(
    f: Callable[[Any], PyTree[Any]], draws: PyTree[Any], *, batches_per_chain: int = 8
) -> PyTree[Float[Array, "..."]]:
    """The Monte Carlo standard error of `f(draws)`, such as that of a derivative of an `expectation`.

    By batch means: `f` of each of several stretches of each chain, whose standard deviation over the root of their
    number is the standard error. That of `f` of all draws is this as long as a stretch is many times the draws that a
    chain needs to forget, and so long that `f` is nearly linear in its mean. With four chains of eight stretches it is
    itself known to an eighth.

    Args:
        f: a smooth function of draws such as a mean, a quantile, or the derivative of an `expectation`. It is given
            draws with leading axes of 1 chain and as many draws as a stretch has. Differentiable in what it computes.
        draws: positions along two leading axes, chains and draws; or a run of `sample`, and then `f` is given runs.
        batches_per_chain: how many stretches. What is left over in the division is the beginning of each chain.

    Returns:
        A pytree built like `f(draws)`; NaN where `f` is of one of the stretches.

    Raises:
        ValueError: if there are fewer than two stretches, a stretch has fewer than two draws, or the draws do not
            share two leading axes.
        TypeError: if `f` is not a function, or `draws` is not made of floats.
    """
    function("f", f, "a function of draws")
    if isinstance(draws, Samples):
        run, of_run = draws, f
        draws, f = {name: getattr(run, name) for name in _OF_EACH}, lambda each: of_run(replace(run, **each))
    else:
        draws = check_draws(draws)
    per_chain = integer("batches_per_chain", batches_per_chain, 1)
    chains, number = jax.tree.leaves(draws)[0].shape[:2]
    length = number // per_chain
    if length < 2 or chains * per_chain < 2:
        raise ValueError(
            f"`batches_per_chain` must make at least two stretches of at least two draws, got {per_chain} with "
            f"{chains} chain{'s' if chains > 1 else ''} of {number} draws."
        )

    def stretches(leaf: Shaped[Array, "chains draws ..."]) -> Shaped[Array, "batches 1 length ..."]:
        return leaf[:, number - per_chain * length :].reshape(-1, 1, length, *leaf.shape[2:])

    values = jax.lax.map(lambda batch: jax.tree.map(jnp.asarray, f(batch)), jax.tree.map(stretches, draws))
    return jax.tree.map(lambda y: square_root(jnp.var(y, axis=0, ddof=1) / y.shape[0]), values)
