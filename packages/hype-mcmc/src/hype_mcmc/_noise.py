"""How far rounding moves a log density: more than its last digit, where large terms cancel in it.

Between points that differ in their last digits a smooth function is a straight line. So its second difference there is
rounding alone.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._custom_types import LogDensity, Position
from ._devices import can_be_read
from ._logdensity import value
from ._samples import Samples

_PLACES = 64  # draws of all chains to look at
_DIGITS = 4  # last digits to either side of them
_PART = 0.95  # of the draws should have less than what is accepted
_ACCEPTED = 0.1  # differences of about 1 decide about a transition
_LONG = 64  # steps to a draw
_SINGLE = 1e-10  # less is the last digit of double precision, where this is rare


def noise(logdensity: LogDensity, run: Samples, is_frozen: bool = False) -> str | None:
    """A warning if rounding moves the log density too far, at a twentieth of the draws or more.

    It is looked for where there is a sign of it: a frozen chain, or in single precision transitions that diverge or
    take long. `draws` of the run are positions.
    """
    if not all(map(can_be_read, jax.tree.leaves((run.draws, run.energy, run.divergences, run.num_steps)))):
        return None
    digit = float(jnp.finfo(run.energy.dtype).eps)
    if not is_frozen and (digit < _SINGLE or not _is_odd(run)):
        return None
    size = float(np.quantile(_moves(logdensity, run), _PART, method="lower"))
    if size < _ACCEPTED:
        return None
    how = f"by {size:.2g} or more" if np.isfinite(size) else "to infinity or NaN"
    use = 'Use `jax.config.update("jax_enable_x64", True)`, or compute it' if digit > _SINGLE else "Compute it"
    return (
        f"Rounding in {run.energy.dtype} moves the log density {how} at a twentieth of the draws: large terms cancel, "
        "or a matrix is nearly singular. So acceptance is noise there, and the draws may be wrong. "
        f"{use} without large terms."
    )


def _is_odd(run: Samples) -> bool:
    return bool(np.any(run.divergences)) or float(np.mean(run.num_steps)) > _LONG


def _moves(logdensity: LogDensity, run: Samples) -> Float[np.ndarray, " places"]:
    """How far rounding moves the log density, by a standard deviation, at some of the draws; infinity for NaN."""
    chains, number = run.energy.shape
    chosen = np.linspace(0, chains * number - 1, min(_PLACES, chains * number)).astype(int)
    places = jax.tree.map(lambda x: x[chosen // number, chosen % number], run.draws)
    differences = np.asarray(_second_differences(logdensity, places), np.float64) / np.sqrt(6)
    return np.where(np.isfinite(differences), np.abs(differences), np.inf)


@eqx.filter_jit
def _second_differences(logdensity: LogDensity, places: Position) -> Float[Array, " places"]:
    def near(x: Float[Array, "places ..."]) -> Float[Array, "places three ..."]:
        nudge = _DIGITS * float(jnp.finfo(x.dtype).eps) * x
        return jnp.stack([x - nudge, x, x + nudge], axis=1)

    def values(points: Position) -> Float[Array, " three"]:
        return jax.vmap(lambda point: value(logdensity, point))(points)

    below, here, above = jax.lax.map(values, jax.tree.map(near, places)).T
    return below - 2 * here + above
