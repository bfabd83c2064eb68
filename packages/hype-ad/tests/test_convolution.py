"""Convolutions in loops: the same numbers in every layout, lowered in that of XLA's fast kernel on the CPU."""

import re
from functools import partial

import hype_ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from jax import lax

CASES = {
    "equinox's": (("NCHW", "OIHW", "NCHW"), {"padding": "SAME"}, (2, 4, 7, 6), (3, 4, 3, 2)),
    "strided": (("NCHW", "OIHW", "NCHW"), {"window_strides": (2, 1), "padding": "VALID"}, (2, 4, 7, 6), (3, 4, 3, 2)),
    "dilated": (("NHWC", "HWIO", "NHWC"), {"padding": "SAME", "rhs_dilation": (2, 2)}, (2, 7, 6, 4), (3, 2, 4, 3)),
    "transposed": (
        ("NCHW", "OIHW", "NHWC"),
        {"padding": [(1, 1), (0, 2)], "lhs_dilation": (2, 2)},
        (2, 4, 5, 6),
        (3, 4, 3, 2),
    ),
    "grouped": (("NCHW", "OIHW", "NCHW"), {"padding": "SAME", "feature_group_count": 2}, (2, 4, 7, 6), (6, 2, 3, 2)),
    "of sequences": (("NCW", "OIW", "CNW"), {"padding": "SAME"}, (2, 4, 7), (3, 4, 3)),
    "of volumes": (("NCDHW", "OIDHW", "NCDHW"), {"padding": "VALID"}, (1, 2, 4, 5, 4), (3, 2, 2, 3, 2)),
}


def convolution(case, x, w):
    layout, options, _, _ = CASES[case]
    options = {"window_strides": (1,) * (x.ndim - 2), **options}
    return lax.conv_general_dilated(x, w, dimension_numbers=layout, **options)


def drawn(case, dtype):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(dtype) for shape in CASES[case][2:]]


@pytest.mark.parametrize("case", CASES)
def test_in_single_precision_they_are_those_of_double(case):
    """In double precision JAX's own rule lowers them. So do their derivatives, which have other layouts."""

    def value_and_slopes(x, w):
        value, pull = jax.vjp(partial(convolution, case), x, w)
        return value, *pull(jnp.cos(value))

    in_both = jax.jit(lambda single, double: (value_and_slopes(*single), value_and_slopes(*double)))
    for ours, exact in zip(*in_both(drawn(case, np.float32), drawn(case, np.float64)), strict=True):
        np.testing.assert_allclose(ours, exact, atol=3e-5 * np.max(np.abs(exact)))


def test_derivatives_are_exact():
    x, w = drawn("equinox's", np.float32)
    f = lambda at: jnp.sum(jnp.tanh(convolution("equinox's", at, w)))
    again = lambda at: jnp.sum(jnp.tanh(convolution("equinox's", at, w.astype(np.float64))))
    hvp = lambda f, x: jax.jvp(jax.grad(f), (x,), (jnp.ones_like(x),))[1]
    precise = x.astype(np.float64)
    in_both = jax.jit(lambda x, precise: (hvp(f, x), hvp(again, precise)))
    np.testing.assert_allclose(*in_both(x, precise), atol=1e-4)
    assert_derivatives_match(again, precise, num_directions=1)


def test_all_of_a_loop_are_in_the_layout_of_the_fast_kernel():
    """Those of the forward pass, and of its first and second derivatives; also under `vmap`."""
    x, w = drawn("equinox's", np.float32)

    def trained(rate, w):
        loss = lambda w: jnp.mean(jnp.tanh(convolution("equinox's", x, w)) ** 2)
        step = lambda w, _: (w - rate * jax.grad(loss)(w), None)
        return jnp.sum(hype_ad.checkpointed_scan(step, w, jnp.zeros(20))[0])

    program = jax.jit(jax.grad(trained)).lower(np.float32(0.1), w).compile().as_text()
    layouts = re.findall(r"dim_labels=(\S+)", program)
    assert len(layouts) >= 4
    assert {layout.rstrip(",") for layout in layouts} == {"b01f_01io->b01f"}
    batch = jax.jit(jax.vmap(jax.grad(trained), (0, None)))
    assert np.isfinite(batch(np.ones(2, np.float32), w)).all()
