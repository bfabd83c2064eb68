"""A program written with D, DV and DM is, once lowered, the program written with arrays."""

import re

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D


def train(w, x, y, rate):
    """Gradient descent on a logistic loss: operators, reductions, functions, a gradient and a scan."""

    def loss(w):
        margin = (x @ w) * y
        return to_plain(ad.softplus(-margin).sum() * 0.5 + 1e-3 * ad.l2norm_sq(w) / 2.0)

    def to_plain(value):
        return jnp.reshape(jnp.asarray(value), ())

    def step(w, _):
        return w - rate * jax.grad(loss)(w), ad.l2norm(w)

    return jax.lax.scan(step, w, None, length=5)


def algebra(w, x, y, rate):
    gram = x.T @ x + rate * jnp.eye(3)
    return ad.solve(gram, w) ** 2 - ad.absolute(w) / rate, ad.outer(y, w) @ gram, ad.det(gram), (x + w)[1:, 0] @ y[1:]


def statistics(w, x, y, rate):
    return ad.standardize(x, axis=0), ad.softmax(y) * rate, ad.logsumexp(y), ad.map_rows(lambda r: r / r.sum(), x)


def text(program, *arguments):
    """The lowered program without the names and places of its source."""
    lowered = jax.jit(program).lower(*arguments).as_text()
    return re.sub(r'(jit_|@)\w+|\bloc\(.*?\)|jax\.(arg|result)_info = "[^"]*"', "", lowered)


NUMBERS = np.linspace(0.5, 1.0, 3), np.linspace(-1, 2, 12).reshape(4, 3) ** 2, np.ones(4), 0.3
ARRAYS = tuple(jnp.asarray(numbers, float) for numbers in NUMBERS)
TENSORS = (DV(ARRAYS[0]), DM(ARRAYS[1]), DV(ARRAYS[2]), D(ARRAYS[3]))


def plain(program):
    """NumPy's broadcasting of a vector against a matrix, which the arrays' program has to be allowed."""

    def allowed(*arguments):
        with jax.numpy_rank_promotion("allow"):
            return program(*arguments)

    return allowed


@pytest.mark.parametrize("program", [train, algebra, statistics], ids=lambda f: f.__name__)
def test_same_program(program):
    assert text(program, *TENSORS) == text(plain(program), *ARRAYS)


def test_the_comparison_sees_a_difference():
    assert text(lambda v: v * 2.0, TENSORS[0]) != text(lambda v: v * 3.0, ARRAYS[0])


def test_compiled_code_is_the_same():
    # An argument is named after its path in the pytree: `w_array` for a tensor, `w` for an array.
    incidental = re.compile(r", metadata={[^}]*}|_array")

    def instructions(*arguments):
        listing = str(jax.jit(train).lower(*arguments).compile().as_text())
        return [incidental.sub("", line) for line in listing.splitlines() if re.search(r"%\S+ = ", line)]

    assert len(instructions(*ARRAYS)) > 10
    assert instructions(*TENSORS) == instructions(*ARRAYS)
