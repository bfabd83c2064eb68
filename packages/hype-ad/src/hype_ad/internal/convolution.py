"""Convolutions in loops as fast as outside of them, on the CPU.

XLA's fast kernel for convolutions on the CPU takes examples in the layout batch, space, features, and kernels in space,
inputs, outputs. XLA brings convolutions into that layout by itself, but only those of a program's main computation: in
the body of a `scan`, a `while_loop` or a `cond` those in another layout, such as Equinox's, and the derivatives of all
of them, run in plain loops that are 30 times as slow. Here they are lowered in that layout, wherever they are.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core.primitives import conv_general_dilated_p
from jax.interpreters import mlir
from jaxtyping import Array

_FAST = (jnp.float16, jnp.bfloat16, jnp.float32)


def use_fast_layout() -> None:
    """Lower convolutions on the CPU in the layout of XLA's fast kernel, in all programs compiled from now on.

    What a program computes does not change. Nothing happens on a version of JAX that keeps its rules elsewhere.
    """
    try:
        from jax._src.interpreters.mlir import _platform_specific_lowerings

        plain: Any = _platform_specific_lowerings["cpu"][conv_general_dilated_p]
        plain = getattr(plain, "rule", plain)
    except (ImportError, KeyError):
        return

    def lower(ctx: Any, lhs: Any, rhs: Any, *, dimension_numbers: Any, out_sharding: Any = None, **params: Any) -> Any:
        layout = _layout(ctx.avals_in[0].ndim)
        is_fast = dimension_numbers == layout or ctx.avals_in[0].dtype not in _FAST or out_sharding is not None
        rule = plain if is_fast else mlir.lower_fun(_in_fast_layout, multiple_results=False)
        return rule(ctx, lhs, rhs, dimension_numbers=dimension_numbers, out_sharding=out_sharding, **params)

    mlir.register_lowering(conv_general_dilated_p, lower, platform="cpu")


def _layout(ndim: int) -> lax.ConvDimensionNumbers:
    features, space = ndim - 1, tuple(range(1, ndim - 1))
    return lax.ConvDimensionNumbers(
        (0, features, *space), (features, ndim - 2, *range(ndim - 2)), (0, features, *space)
    )


def _in_fast_layout(lhs: Array, rhs: Array, *, dimension_numbers: lax.ConvDimensionNumbers, **params: Any) -> Array:
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    lhs = lax.transpose(lhs, (lhs_spec[0], *lhs_spec[2:], lhs_spec[1]))
    rhs = lax.transpose(rhs, (*rhs_spec[2:], rhs_spec[1], rhs_spec[0]))
    out = conv_general_dilated_p.bind(lhs, rhs, dimension_numbers=_layout(lhs.ndim), **params)
    return lax.transpose(out, np.argsort((out_spec[0], *out_spec[2:], out_spec[1])))
