"""The original's example of nested differentiation, in three levels.

A charged particle flies between two others, one of which can be moved. The force is the gradient of a potential, inside
a simulation with a loop whose length depends on the data, inside Newton's method on where the particle lands.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV, D, grad, l2norm
from hype_optim import Newton, Params, Status, minimize
from jax import lax

DT = 0.1


def potential(w, x):
    """Of the particle at `x`, with the one charge moved down by `w`."""
    return 1 / l2norm(x - DV([10, 10 - w])) + 1 / l2norm(x - DV([10, 0]))


def error(w):
    """The square of the horizontal position at the last point above the axis."""

    def euler_step(state):
        x, v, _ = state
        v = v - DT * grad(lambda x: potential(w, x))(x)
        return x + DT * v, v, x

    x0 = DV([0.0 * w, 8])
    _, _, last = lax.while_loop(lambda state: state[0].array[1] > 0, euler_step, (x0, DV([0.75, 0.0 * w]), x0))
    return last[0] ** 2


@pytest.mark.slow
def test_newton_finds_where_to_put_the_charge():
    params = Params(epochs=7, method=Newton(), derivative="forward", keep_w_history=True, silent=True)
    result = minimize(error, D(0.0), params)
    assert isinstance(result.w, D)
    # The original's 0.1821669 is a float32 number of a minimum that is flat there.
    np.testing.assert_allclose(float(result.w), 0.1821669, atol=2e-6)
    np.testing.assert_allclose(float(result.w), 0.18216553, atol=1e-8)
    assert float(result.loss) < 1e-10
    assert result.status == Status.MAX_STEPS
    # The original printed these losses, in float32.
    printed = [2.5351131, 0.0752873272, 0.0159297027, 0.00417833822]
    np.testing.assert_allclose(result.loss_history[:4], printed, rtol=1e-3)
    assert jnp.all(jnp.diff(result.loss_history) < 0)
