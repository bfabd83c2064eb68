"""Numbers that 32 bits do not hold: refused where they come in, or kept by JAX's 64-bit mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D, to_array
from hype_ad.internal.narrowing import check_fits

FINITE = np.finfo(np.float32).max.item()
MAKE = {
    "D": lambda x: D(x),
    "D of NumPy": lambda x: D(np.float64(x)),
    "DV": lambda x: DV([1.0, x]),
    "DV of NumPy": lambda x: DV(np.array([1.0, x])),
    "DM": lambda x: DM([[1.0], [x]]),
    "operand": lambda x: DV([1.0, 2.0]) + to_array(np.array([x, 0.0])),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_finite_number_does_not_become_infinite(make):
    assert np.isfinite(np.asarray(make(1e300))).all()
    with jax.enable_x64(False):
        for x in (1e300, -1e39):
            with pytest.raises(ValueError, match=r"must have numbers that float32 holds, got -?1e\+.*jax_enable_x64"):
                make(x)
        for x in (FINITE, np.inf, 1e-300):
            assert np.asarray(make(x)).dtype == np.float32


@pytest.mark.parametrize(
    ("given", "dtype", "fits"),
    [
        (np.array([2**32 + 1]), np.int32, False),
        (np.array([2**31 - 1, -(2**31)]), np.int32, True),
        (np.array([3_000_000_000], np.uint32), np.int32, False),
        (np.array([3_000_000_000]), np.uint32, True),
        (np.array([2**64 - 1], np.uint64), np.int64, False),
        (np.array([[0], [-1]]), np.uint8, False),
        (np.array([70000]), np.float16, False),
        (np.array([1e39]), jnp.bfloat16, False),
        (np.array([np.nan, np.inf]), np.float16, True),
        (np.array([True]), np.float32, True),
        (jnp.array([2**40]), np.int32, True),  # has been narrowed, if at all
    ],
)
def test_what_fits(given, dtype, fits):
    if fits:
        check_fits("x", given, dtype)
    else:
        with pytest.raises(ValueError, match=r"`x` must have numbers that .* holds, got .* at index \(.*0"):
            check_fits("x", given, dtype)
