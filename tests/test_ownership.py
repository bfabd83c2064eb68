"""Settings, points and data are what they were made of, whatever the caller writes into a buffer afterwards."""

from functools import partial

import hype_ad as ad
import hype_mcmc as mcmc
import hype_neural as neural
import hype_optim as optim
import jax
import ml_dtypes
import numpy as np
import optax
import pytest

FLOATS = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]
INTEGERS = [np.int64, np.int32, np.uint8]
BOTH = {
    "Constant": optim.Constant,
    "Schedule": optim.Schedule,
    "L2Reg": optim.L2Reg,
    "Dataset": lambda x: optim.Dataset(x, x),
    "DV": ad.DV,
}
FRACTIONS = {
    **BOTH,
    "Decay": lambda x: optim.Decay(x, x[:1].reshape(())),
    "ExpDecay": lambda x: optim.ExpDecay(x, x[:1].reshape(())),
    "RMSProp": lambda x: optim.RMSProp(x, x[:1].reshape(())),
    "Adam": lambda x: optim.Adam(x, x[:1].reshape(()), x[1:2].reshape(())),
    "Momentum": optim.Momentum,
    "Nesterov": optim.Nesterov,
    "NormClip": lambda x: optim.NormClip(x[:1].reshape(())),
    "L1Reg": optim.L1Reg,
    "positive": optim.positive,
    "unit_interval": optim.unit_interval,
    "Params": lambda x: optim.Params(learning_rate=x, tolerance=x[:1].reshape(())),
    "Optax": lambda x: optim.Optax(optax.sgd, {"learning_rate": x}),
    "StepSchedule": optim.StepSchedule,
    "WindowSchedule": lambda x: optim.WindowSchedule(x, 99),
    "InterpolatedSchedule": lambda x: optim.InterpolatedSchedule(x, 99),
    "DM": lambda x: ad.DM(x.reshape(8, 8)),
    "HMC": lambda x: mcmc.HMC(x[:1].reshape(()), 3),
    "DynamicHMC": lambda x: mcmc.DynamicHMC(x[:1].reshape(()), x[:1].reshape(())),
    "DiagonalMass": mcmc.DiagonalMass,
    "DenseMass": lambda x: mcmc.DenseMass(x.reshape(8, 8)),
    "position": lambda x: mcmc.HMC(0.1, 1).init(x, lambda q: -(q @ q)),
    "InitNormal": lambda x: neural.InitNormal(0.0, x[:1].reshape(())),
    "InitUniform": lambda x: neural.InitUniform(0.0, x[:1].reshape(())),
    "decode": lambda x: neural.LinearNoBias(8, 8, key=jax.random.key(0)).decode(x),
    "w0": lambda x: optim.minimize(lambda w: w @ w, x, optim.Params(1, learning_rate=0.0, silent=True)).state.w,
}


def buffer(dtype):
    """64 numbers at an address that JAX would share rather than copy."""
    raw = np.zeros(64 * np.dtype(dtype).itemsize + 64, np.uint8)
    return raw[-raw.ctypes.data % 64 :][: 64 * np.dtype(dtype).itemsize].view(dtype)


@pytest.mark.parametrize("name", FRACTIONS)
def test_what_is_made_of_a_buffer_does_not_change_with_it(name):
    for dtype in [*FLOATS, *(INTEGERS if name in BOTH else [])]:
        given = buffer(dtype)
        given[:] = 0.5 if dtype in FLOATS else 2
        made = FRACTIONS[name](given)
        before = jax.tree.map(partial(np.array, copy=True), made)
        given[:] = 0.25 if dtype in FLOATS else 3
        jax.tree.map(np.testing.assert_array_equal, made, before)
