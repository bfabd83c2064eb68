"""The sparsity that is found from a program holds every entry of the derivative, whatever the program is made of."""

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

N = 6
RANDOM = np.random.default_rng(0)
X, KERNEL = RANDOM.normal(size=(4, N)), RANDOM.normal(size=(2, 3, 3))
HELD = np.zeros((2, N))


@jax.jit
def entry(x, i):
    return x[i]


@jax.jit
def multiplied(a, b):
    return a * b


@jax.custom_jvp
def rounded(x):
    return jnp.round(x)


rounded.defjvp(lambda primals, tangents: (rounded(*primals), tangents[0]))


@jax.custom_vjp
def floored(x):
    return jnp.floor(x)


floored.defvjp(lambda x: (floored(x), None), lambda _, g: (g,))


@jax.custom_jvp
def shifted(x):
    return x


shifted.defjvp(lambda primals, tangents: (primals[0], jnp.roll(tangents[0], 1)))


def converged(x):
    return lax.while_loop(lambda s: jnp.sum(s) < 3, lambda s: s + jnp.roll(s, 1) ** 2 + 0.1, x)


def recurrent(x):
    last, all_ = lax.scan(lambda c, x: (jnp.sin(c * x[0]), c + x[1]), x[0], x.reshape(3, 2))
    return jnp.append(all_, last)


def backwards(x):
    return lax.scan(lambda c, x: (c * x, c + x), x[5], x, reverse=True)[1]


def fallen(x):
    return lax.fori_loop(0, N, lambda i, y: y.at[i].add(x[i] ** 2), jnp.zeros(N))


def chosen(x):
    return lax.cond(x[0] > 0, lambda x: jnp.roll(x, 1) ** 2, lambda x: x**3, x)


def convolved(x):
    return lax.conv_general_dilated(
        x.reshape(1, 1, N), KERNEL[:, :1, :], (2,), [(2, 2)], lhs_dilation=(2,), rhs_dilation=(2,)
    )


def grouped(x):
    image = x.reshape(1, 3, 1, 2)  # NHWC
    return lax.conv_general_dilated(
        image,
        KERNEL[None, :, :1].transpose(3, 0, 2, 1),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=2,
    )


FUNCTIONS = {
    "static indices": (lambda x: x[np.array([0, 2, 2, 5])] * x[1:5], 7),
    "indices by data": (lambda x: x[jnp.where(x > 0, 2, 3)] * x[0], 36),
    "one function, two kinds of indices": (
        lambda x: jnp.concatenate([entry(x, jnp.array([0, 1])), entry(x, jnp.where(x[:2] > 0, 4, 5))]), 14,
    ),
    "one function, zero and not": (lambda x: multiplied(x, jnp.zeros(N)) + multiplied(x, x), 6),
    "indices out of bounds": (lambda x: x.at[np.array([4, 9])].get(mode="fill", fill_value=1.0) * x[0], 3),
    "scattered": (lambda x: jnp.zeros(4).at[np.array([3, 1, 1])].add(x[:3]).at[0].set(x[5]), 4),
    "written over": (lambda x: x.at[np.array([0, 1])].set(x[4:] ** 2), 6),
    "multiplied where it is": (lambda x: x.at[np.array([0, 1])].multiply(x[4:], unique_indices=True), 8),
    "scattered by data": (lambda x: jnp.zeros(3).at[(x[:3] > 0).astype(int)].add(x[3:]), 9),
    "dynamic slice": (lambda x: lax.dynamic_slice(x, (jnp.array(7),), (3,)) ** 2, 3),
    "dynamic slice by data": (lambda x: lax.dynamic_slice(x, ((x[0] > 0).astype(int),), (3,)), 18),
    "dynamic update": (lambda x: lax.dynamic_update_slice(x, x[:2] ** 2, (3,)), 6),
    "dynamic update by data": (lambda x: lax.dynamic_update_slice(x, x[:2] ** 2, ((x[0] > 0).astype(int),)), 16),
    "select": (lambda x: jnp.where(x > 0, x**2, jnp.roll(x, 1)), 12),
    "select by a constant": (lambda x: jnp.where(np.arange(N) < 2, x**2, jnp.roll(x, 1)), 6),
    "relu at zero": (lambda x: jax.nn.relu(x - x[0]), 11),
    "maximum": (lambda x: jnp.maximum(x[:3], x[3:]), 6),
    "clip": (lambda x: jnp.clip(x, x[0], 1.0), 11),
    "zeros made by the program": (lambda x: jnp.tril(jnp.ones((N, N))) @ x, 21),
    "zeros that are held": (lambda x: HELD @ x + x[:2], 12),
    "cumulative sum": (lambda x: jnp.cumsum(x), 21),
    "reversed sum": (lambda x: lax.cumsum(x.reshape(2, 3), 1, reverse=True), 12),
    "cumulative product": (lambda x: jnp.cumprod(x), None),
    "cumulative maximum": (lambda x: lax.cummax(x), None),
    "cumulative logsumexp": (lambda x: lax.cumlogsumexp(x), None),
    "sort": (lambda x: jnp.sort(x), 36),
    "sorted rows": (lambda x: jnp.sort(x.reshape(2, 3), axis=1), 18),
    "top k": (lambda x: lax.top_k(x, 2)[0], 12),
    "scan": (recurrent, None),
    "scan in reverse": (backwards, None),
    "fori": (fallen, None),
    "while": (converged, None),
    "cond": (chosen, 12),
    "switch": (lambda x: lax.switch((x[0] > 0).astype(int), [lambda x: x[:2], lambda x: x[2:4]], x), 4),
    "convolution": (convolved, None),
    "depthwise convolution": (grouped, None),
    "window sums": (lambda x: lax.reduce_window(x, 0.0, lax.add, (2,), (2,), "VALID"), 6),
    "window maxima": (lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2,), (1,), "VALID"), None),
    "product of matrices": (lambda x: x.reshape(2, 3) @ x.reshape(3, 2), None),
    "batched product": (
        lambda x: jnp.einsum("bij,bj->bi", jnp.ones((3, 2, 2)) * x.reshape(3, 2, 1), x.reshape(3, 2)), 12,
    ),
    "moved": (lambda x: jnp.moveaxis(jnp.flip(x.reshape(1, 2, 3), 2), 2, 0)[..., None] + jnp.ones((1, 1, 1, 2)), 12),
    "broadcast": (lambda x: x[:, None] * x[None, :2], None),
    "padded": (lambda x: lax.pad(x, x[0], [(1, -2, 1)]), None),
    "concatenated": (lambda x: jnp.stack(jnp.split(jnp.concatenate([x, x[:3] ** 2]), 3)), 9),
    "straight through": (lambda x: 2 * rounded(x), 6),
    "straight through in reverse": (lambda x: 2 * floored(x), 6),
    "a rule that looks elsewhere": (lambda x: shifted(x) * 2, 6),
    "checkpoint": (jax.checkpoint(lambda x: jnp.sin(x) * x[::-1]), 12),
    "rounded away": (lambda x: jnp.floor(x) + x.astype(int).astype(float) + jnp.sign(x), 0),
    "no gradient": (lambda x: lax.stop_gradient(x) * x[::-1], 6),
    "fft": (lambda x: jnp.abs(jnp.fft.fft(x.reshape(2, 3))), 18),
    "solve": (lambda x: jnp.linalg.solve(jnp.diag(x) + jnp.eye(N) * 5, x), None),
    "batched Cholesky": (
        lambda x: jax.vmap(lambda a: jnp.linalg.cholesky(jnp.outer(a, a) + 5 * jnp.eye(2)))(x.reshape(3, 2)), None,
    ),
    "means and maxima": (lambda x: jnp.append(x - jnp.mean(x[:2]), jnp.max(x[3:])), None),
    "product of all": (lambda x: jnp.prod(x[:3]) * x[3:], 12),
    "products of rows": (lambda x: jnp.prod(x.reshape(2, 3), axis=1), 6),  # JAX reshapes and transposes at once
    "subtracted": (lambda x: x.at[np.array([0, 3])].subtract(x[1:3] ** 2), 8),
    "segments": (lambda x: jax.ops.segment_sum(x, np.array([0, 1, 1, 2, 0, 2]), 3), 6),
}  # fmt: skip


@pytest.fixture(scope="module")
def derivatives():
    plain = {name: f for name, (f, _) in FUNCTIONS.items() if "in reverse" not in name or name == "scan in reverse"}
    compute = jax.jit(lambda x: {name: jax.jacfwd(f)(x).reshape(-1, N) for name, f in plain.items()})
    found = jax.tree.map(lambda *matrices: np.stack(matrices), *map(compute, X))
    return {**found, "straight through in reverse": 2 * np.eye(N)[None]}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_entry_is_missing(name, derivatives):
    f, count = FUNCTIONS[name]
    found = ad.jacobian_sparsity(f)(X[0])
    needed = np.any(derivatives[name] != 0, axis=0)
    assert found.shape == needed.shape
    assert not (needed & ~found.to_array()).any()
    if count is not None:
        assert found.count == count
