r"""How weights are drawn.

An initializer is a pytree whose floats are leaves, and what it draws is a smooth function of them at a fixed key (the
standard draw is shifted and scaled), so a loss after training has a derivative with respect to a standard deviation.
Below, $n_\text{in}$ and $n_\text{out}$ are the numbers of columns and rows of the matrix drawn: a layer's inputs and
outputs.
"""

import abc
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_optim import AbstractRange
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ._checks import Scale, float_type, non_negative_scale, positive_size, scale
from ._function import as_pytree

ScaleLike: TypeAlias = ArrayLike | AbstractRange


class AbstractInitializer(eqx.Module):
    """Draws a matrix of weights."""

    def __call__(
        self, key: PRNGKeyArray, fan_out: int, fan_in: int, dtype: DTypeLike | None = None
    ) -> Float[Array, "fan_out fan_in"]:
        """Draw weights that map `fan_in` inputs to `fan_out` outputs.

        Args:
            key: decides what is drawn.
            fan_out: the number of rows.
            fan_in: the number of columns.
            dtype: of the weights; JAX's default float dtype if not given.

        Returns:
            The matrix, differentiable with respect to the initializer's floats.
        """
        shape = positive_size("fan_out", fan_out), positive_size("fan_in", fan_in)
        return self.draw(key, shape, float_type("dtype", dtype))

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """Draw a matrix of a shape and a dtype that have been checked."""


class InitUniform(AbstractInitializer):
    """Uniform between two numbers.

    Args:
        low: the lower end. Differentiable.
        high: the upper end. Differentiable.

    Raises:
        TypeError: if one of them is not a number.
        ValueError: if one of them is known and not finite.
    """

    low: Scale
    high: Scale

    def __init__(self, low: ScaleLike = -0.1, high: ScaleLike = 0.1):
        self.low = scale("low", low)
        self.high = scale("high", high)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """Low plus the width times what is uniform between 0 and 1."""
        low, high = _value(self.low, dtype), _value(self.high, dtype)
        return low + (high - low) * jax.random.uniform(key, shape, dtype)


class InitNormal(AbstractInitializer):
    """Normal.

    Args:
        mean: differentiable.
        std: the standard deviation, at least 0. Differentiable.

    Raises:
        TypeError: if one of them is not a number.
        ValueError: if one of them is known and out of its range.
    """

    mean: Scale
    std: Scale

    def __init__(self, mean: ScaleLike = 0.0, std: ScaleLike = 0.01):
        self.mean = scale("mean", mean)
        self.std = non_negative_scale("std", std)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """The mean plus `std` times what is standard normal."""
        return _value(self.mean, dtype) + _value(self.std, dtype) * jax.random.normal(key, shape, dtype)


class InitRBM(AbstractInitializer):
    """Normal around 0, as for restricted Boltzmann machines (Hinton 2010, "A practical guide", section 8).

    Args:
        std: the standard deviation, at least 0. Differentiable.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is known and below 0.
    """

    std: Scale

    def __init__(self, std: ScaleLike = 0.01):
        self.std = non_negative_scale("std", std)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """`std` times what is standard normal."""
        return _value(self.std, dtype) * jax.random.normal(key, shape, dtype)


class InitReLU(AbstractInitializer):
    r"""Normal with standard deviation $\sqrt{2 / n_\text{in}}$ (He et al. 2015, equation 10), for rectified units.

    Args:
        gain: multiplies what is drawn. Differentiable.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is known and not finite.
    """

    gain: Scale

    def __init__(self, gain: ScaleLike = 1.0):
        self.gain = scale("gain", gain)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """The gain times what the class says."""
        return _value(self.gain, dtype) * (2 / shape[1]) ** 0.5 * jax.random.normal(key, shape, dtype)


class InitSigmoid(AbstractInitializer):
    r"""Uniform in $\pm 4 \sqrt{6 / (n_\text{in} + n_\text{out})}$: Glorot & Bengio (2010) for logistic units.

    Args:
        gain: multiplies what is drawn. Differentiable.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is known and not finite.
    """

    gain: Scale

    def __init__(self, gain: ScaleLike = 1.0):
        self.gain = scale("gain", gain)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """The gain times what the class says."""
        return _symmetric_uniform(key, shape, dtype, 4 * (6 / sum(shape)) ** 0.5, self.gain)


class InitTanh(AbstractInitializer):
    r"""Uniform in $\pm \sqrt{6 / (n_\text{in} + n_\text{out})}$ (Glorot & Bengio 2010, equation 16), for tanh units.

    Args:
        gain: multiplies what is drawn. Differentiable.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is known and not finite.
    """

    gain: Scale

    def __init__(self, gain: ScaleLike = 1.0):
        self.gain = scale("gain", gain)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """The gain times what the class says."""
        return _symmetric_uniform(key, shape, dtype, (6 / sum(shape)) ** 0.5, self.gain)


class InitStandard(AbstractInitializer):
    r"""Uniform in $\pm 1 / \sqrt{n_\text{in}}$ (LeCun et al. 1998, "Efficient BackProp", section 4.6).

    Args:
        gain: multiplies what is drawn. Differentiable.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is known and not finite.
    """

    gain: Scale

    def __init__(self, gain: ScaleLike = 1.0):
        self.gain = scale("gain", gain)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """The gain times what the class says."""
        return _symmetric_uniform(key, shape, dtype, shape[1] ** -0.5, self.gain)


class InitOrthogonal(AbstractInitializer):
    """Orthonormal rows or columns, whichever are fewer, uniform among these (Saxe et al. 2014): for recurrent matrices.

    Args:
        gain: multiplies what is drawn. Differentiable.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is known and not finite.
    """

    gain: Scale

    def __init__(self, gain: ScaleLike = 1.0):
        self.gain = scale("gain", gain)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """The gain times what the class says."""
        return _value(self.gain, dtype) * jax.random.orthogonal(key, max(shape), (), dtype)[: shape[0], : shape[1]]


class InitCustom(AbstractInitializer):
    """Each entry by itself, by a function of yours.

    Args:
        function: `(key, fan_in, fan_out) -> scalar`, called under `vmap` with one key an entry. If it is a pytree such
            as `jax.tree_util.Partial(f, scale)`, its floats are leaves, and differentiable.

    Raises:
        TypeError: if `function` cannot be called.
        ValueError: when weights are drawn, if it does not return a scalar.
    """

    function: Callable[[PRNGKeyArray, int, int], Float[Array, ""]]

    def __init__(self, function: Callable[[PRNGKeyArray, int, int], Any]):
        self.function = as_pytree("function", function)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """One call an entry."""
        fan_out, fan_in = shape

        def entry(key: PRNGKeyArray) -> Float[Array, ""]:
            value = jnp.asarray(self.function(key, fan_in, fan_out))
            if value.shape != ():
                raise ValueError(f"`function` of InitCustom must return a scalar, got shape {value.shape}.")
            return value.astype(dtype)

        return jax.vmap(entry)(jax.random.split(key, fan_out * fan_in)).reshape(shape)


def _value(x: Scale, dtype: Any) -> Float[Array, ""]:
    return (x.value if isinstance(x, AbstractRange) else x).astype(dtype)


def _symmetric_uniform(
    key: PRNGKeyArray, shape: tuple[int, int], dtype: Any, bound: float, gain: Scale
) -> Float[Array, "fan_out fan_in"]:
    return _value(gain, dtype) * jax.random.uniform(key, shape, dtype, -bound, bound)
