r"""Initializers: the distributions that weights are drawn from.

An initializer is a pytree whose floats are leaves, and its draw is a smooth function of them at a fixed key (a standard
draw, shifted and scaled: the reparameterization trick), so a loss after training has a derivative with respect to a
standard deviation. Below, $n_\text{in}$ and $n_\text{out}$ are the numbers of columns and rows of the matrix drawn: a
layer's inputs and outputs.
"""

import abc
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import check_key, integer
from hype_optim import AbstractRange
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ._checks import Scale, finite, float_type, non_negative
from ._function import as_pytree


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

        Raises:
            TypeError: if `key` is not a key, a length is not an integer, or `dtype` is not one of floats.
            ValueError: if a length is below 1.
        """
        shape = integer("fan_out", fan_out, 1), integer("fan_in", fan_in, 1)
        return self.draw(check_key("key", key), shape, float_type("dtype", dtype))

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """A matrix of a shape and a dtype that have been checked."""


class InitUniform(AbstractInitializer):
    """Uniform between two numbers.

    Args:
        low: the lower end. Differentiable.
        high: the upper end. Differentiable.

    Raises:
        TypeError: if one of them is not a number.
        ValueError: if one of them is known and not finite.
    """

    low: Scale = eqx.field(converter=partial(finite, "low"), default=-0.1)
    high: Scale = eqx.field(converter=partial(finite, "high"), default=0.1)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """`low + (high - low) u` with `u` uniform between 0 and 1."""
        low, high = _value(self.low, dtype), _value(self.high, dtype)
        return low + (high - low) * jax.random.uniform(key, shape, dtype)


class InitNormal(AbstractInitializer):
    """Normal.

    Examples:
        >>> import jax
        >>> from hype_neural import InitNormal, Linear
        >>> spread = lambda std: Linear(100, 100, InitNormal(0.0, std), key=jax.random.key(0)).weight.std()
        >>> print(f"{jax.grad(spread)(0.5):.1f}")
        1.0

    Args:
        mean: differentiable.
        std: the standard deviation, at least 0. Differentiable.

    Raises:
        TypeError: if one of them is not a number.
        ValueError: if one of them is known and out of its range.
    """

    mean: Scale = eqx.field(converter=partial(finite, "mean"), default=0.0)
    std: Scale = eqx.field(converter=partial(non_negative, "std"), default=0.01)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """A standard normal draw, scaled by `std` and shifted by `mean`."""
        return _value(self.mean, dtype) + _value(self.std, dtype) * jax.random.normal(key, shape, dtype)


class InitRBM(AbstractInitializer):
    """Normal around 0, as for restricted Boltzmann machines (Hinton 2010, "A practical guide", section 8).

    Args:
        std: the standard deviation, at least 0. Differentiable.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is known and below 0.
    """

    std: Scale = eqx.field(converter=partial(non_negative, "std"), default=0.01)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """A standard normal draw, scaled by `std`."""
        return _value(self.std, dtype) * jax.random.normal(key, shape, dtype)


class InitReLU(AbstractInitializer):
    r"""Normal with standard deviation $\sqrt{2 / n_\text{in}}$ (He et al. 2015, equation 10), for rectified units.

    Args:
        gain: multiplies the standard deviation. Differentiable.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is known and not finite.
    """

    gain: Scale = eqx.field(converter=partial(finite, "gain"), default=1.0)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """A standard normal draw, scaled by the standard deviation."""
        return _value(self.gain, dtype) * (2 / shape[1]) ** 0.5 * jax.random.normal(key, shape, dtype)


class AbstractScaledInitializer(AbstractInitializer):
    """`gain` times a draw from a distribution that the shape of the matrix decides alone.

    Args:
        gain: multiplies the draw. Differentiable.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is known and not finite.
    """

    gain: Scale = eqx.field(converter=partial(finite, "gain"), default=1.0)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """`gain` times the draw for a gain of 1."""
        return _value(self.gain, dtype) * self.unscaled(key, shape, dtype)

    @abc.abstractmethod
    def unscaled(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """The draw for a gain of 1."""


class InitTanh(AbstractScaledInitializer):
    r"""`gain` times uniform in $\pm \sqrt{6 / (n_\text{in} + n_\text{out})}$.

    The initialization of Glorot & Bengio (2010, equation 16), for tanh units.
    """

    def unscaled(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """A uniform draw."""
        return _symmetric((6 / sum(shape)) ** 0.5, key, shape, dtype)


class InitSigmoid(AbstractScaledInitializer):
    r"""`gain` times uniform in $\pm 4 \sqrt{6 / (n_\text{in} + n_\text{out})}$, four times `InitTanh`.

    For logistic units, after the same authors.
    """

    def unscaled(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """A uniform draw."""
        return _symmetric(4 * (6 / sum(shape)) ** 0.5, key, shape, dtype)


class InitStandard(AbstractScaledInitializer):
    r"""`gain` times uniform in $\pm 1 / \sqrt{n_\text{in}}$ (LeCun et al. 1998, "Efficient BackProp", section 4.6)."""

    def unscaled(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """A uniform draw."""
        return _symmetric(shape[1] ** -0.5, key, shape, dtype)


class InitOrthogonal(AbstractScaledInitializer):
    """`gain` times orthonormal rows or columns, whichever are fewer (Saxe et al. 2014), for recurrent matrices."""

    def unscaled(self, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
        """A block of a square orthogonal matrix that is drawn from the Haar measure, in 32 bits at least."""
        square = jax.random.orthogonal(key, max(shape), (), dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32)
        return square[: shape[0], : shape[1]].astype(dtype)


class InitCustom(AbstractInitializer):
    """Each entry by itself, by a function of yours.

    Args:
        function: `(key, fan_in, fan_out) -> scalar`, called under `vmap` with one key an entry. If it is a pytree such
            as `jax.tree_util.Partial(f, scale)`, its floats are leaves, and differentiable.

    Raises:
        TypeError: if `function` cannot be called.
        ValueError: when weights are drawn, if it does not return a scalar.
    """

    function: Callable[[PRNGKeyArray, int, int], Float[Array, ""]] = eqx.field(converter=partial(as_pytree, "function"))

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


def _symmetric(bound: float, key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Float[Array, "fan_out fan_in"]:
    return jax.random.uniform(key, shape, dtype, -bound, bound)
