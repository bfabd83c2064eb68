"""The gradient whose derivative is in mixed mode, against the gradient as JAX differentiates it."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import det
from hype_ad.internal import mixed_mode
from hype_ad.testing import assert_derivatives_match
from jax import lax

from .operators import array

C = array([0.3, -0.2, 0.5])
W = {"a": array([0.7, 0.1, -0.4]), "b": array(0.6)}


def layers(w, c):
    step = jax.checkpoint(lambda x, k: (jnp.sin(k * x * w["a"] + c), None))
    return jnp.sum(lax.scan(step, c, jnp.arange(1.0, 4.0))[0] ** 2) * w["b"]


@jax.custom_jvp
def straight_through(x, y):
    return jnp.round(x) * y


straight_through.defjvps(lambda t, _, x, y: t * y**2, lambda t, _, x, y: t * x)


# The same in a package whose name begins with that of JAX.
elsewhere = {}
exec(
    compile(
        "f = lambda x, y: x * y\nrule = lambda p, t: (p[0] * p[1], t[0])", f"{jax.__path__[0]}opt/rules.py", "exec"
    ),
    elsewhere,
)
of_jaxopt = jax.custom_jvp(elsewhere["f"])
of_jaxopt.defjvp(elsewhere["rule"])


@jax.custom_vjp
def reversed_gradient(x):
    return x


reversed_gradient.defvjp(lambda x: (x, None), lambda _, ct: (-ct,))


def looped(w, c):
    many = lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, jnp.sin(s[1])), (0, c))[1]
    return jnp.sum((w["a"] * many) ** 3) * w["b"]


def solved(w, c):
    return jnp.sum(jnp.linalg.solve(jnp.eye(3) + jnp.outer(w["a"], w["a"]) * w["b"], c))


# A function of weights and other floats, and whether mixed mode may be used.
KINDS = {
    "a sum": (lambda w, c: jnp.sum(jnp.sin(w["a"] * c)) * w["b"], True),
    "layers": (layers, True),
    "jax's own rules": (lambda w, c: jnp.sum(jax.nn.relu(w["a"] * c + 0.1) + jax.nn.softplus(w["b"] * c)), True),
    "integers and keys": (
        lambda w, c: jnp.sum(w["a"][jnp.array([0, 2])] * jax.random.normal(jax.random.key(1), (2,)) * c[:2]) * w["b"],
        True,
    ),
    "a linear equation": (solved, True),
    "stopped": (lambda w, c: jnp.sum(w["a"] ** 2 * lax.stop_gradient(w["b"] * c) * c), True),
    "a branch": (lambda w, c: lax.cond(w["b"] > 0, lambda: jnp.sum(w["a"] ** 3 * c), lambda: w["b"]), True),
    "one that does not depend on the rest": (lambda w, c: w["b"] ** 3 + jnp.sum(jnp.cos(w["a"])), True),
    "a custom_vjp": (lambda w, c: jnp.sum(reversed_gradient(w["a"]) * c * w["a"] * w["b"]), False),
    "a custom_jvp of another package": (lambda w, c: jnp.sum(of_jaxopt(w["a"], c) ** 2) * w["b"], False),
    "a custom_jvp": (lambda w, c: jnp.sum(straight_through(w["a"] * 3, c) ** 2) * w["b"], False),
}


def plain(f):
    return lambda w: jax.value_and_grad(f)(w)


def mixed(f):
    return lambda w: mixed_mode.value_and_grad(f, plain(f), w)


def outcome(f, way, w, c):
    """A number that depends on value and gradient at two points."""
    at = way(lambda w: f(w, c))
    value, gradient = at(w)
    moved = jax.tree.map(lambda w, g: w - 0.1 * g, w, gradient)
    return at(moved)[0] * value + jnp.sum(jnp.tanh(gradient["a"])).astype(value.dtype) + moved["b"]


def is_used(f, w, c):
    program = str(jax.make_jaxpr(jax.grad(partial(outcome, f, mixed), argnums=1))(w, c))
    expected = str(jax.make_jaxpr(jax.grad(partial(outcome, f, plain), argnums=1))(w, c))
    return program != expected


def derivatives(f, way, w, c, thorough):
    """One for each way to go: in each mode, of each order up to the third, and in batches of some and all arguments."""
    run = partial(outcome, f, way)
    slope = jax.grad(run, argnums=(0, 1))
    along = lambda g, *x: jax.jvp(g, x, x)[1]
    sum_of = lambda tree: sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(tree))
    second = lambda w, c: sum_of(slope(w, c))
    ws, cs = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), (w, c))
    some = {
        "forward": along(run, w, c),
        "reverse over reverse": jax.grad(second, argnums=(0, 1))(w, c),
        "a batch of some": jax.vmap(slope, in_axes=(None, 0))(w, cs),
    }
    if not thorough:
        return some
    return some | {
        "forward over reverse": along(slope, w, c),
        "reverse over forward": jax.grad(lambda w, c: along(run, w, c), argnums=(0, 1))(w, c),
        "third": jax.grad(lambda c: along(second, w, c))(c),
        "reverse, thrice": jax.grad(lambda c: sum_of(jax.grad(second, argnums=(0, 1))(w, c)))(c),
        "a batch of all": jax.vmap(slope)(ws, cs),
        "within a batch": jax.grad(lambda c: sum_of(jax.vmap(lambda w: run(w, c))(ws)))(c),
        "a batch of batches": jax.vmap(jax.vmap(slope, in_axes=(0, None)), in_axes=(None, 0))(ws, cs),
    }


def modes_and_orders():
    """All of them for the simplest function; some for the others, of which those with loops and branches are quick."""
    quick = {"a branch"}
    for kind, (_, usable) in KINDS.items():
        if usable and kind != "a sum":
            yield pytest.param(kind, False, marks=() if kind in quick else pytest.mark.slow)
    yield "a sum", False
    yield pytest.param("a sum", True, marks=pytest.mark.slow)


@pytest.mark.parametrize(("kind", "thorough"), list(modes_and_orders()))
def test_every_mode_and_order_is_as_ever(kind, thorough):
    f, _ = KINDS[kind]
    assert is_used(f, W, C)
    both = jax.jit(lambda w, c: [derivatives(f, way, w, c, thorough) for way in (mixed, plain)])
    ours, expected = both(W, C)
    for name, slopes in ours.items():
        close = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12, err_msg=name)
        jax.tree.map(close, slopes, expected[name])


@pytest.mark.slow
def test_third_order_and_a_batch_of_all():
    def found(way, c):
        run = partial(outcome, KINDS["a sum"][0], way)
        slope = jax.grad(run, argnums=1)
        third = jax.grad(lambda c: jnp.sum(jnp.sin(jax.jvp(lambda c: slope(W, c), (c,), (c,))[1])))(c)
        return third, jax.vmap(slope)(jax.tree.map(lambda x: jnp.stack([x, 2 * x]), W), jnp.stack([c, 2 * c]))

    ours, expected = jax.jit(lambda c: [found(way, c) for way in (mixed, plain)])(C)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12), ours, expected)


@pytest.mark.parametrize("kind", [kind for kind, (_, usable) in KINDS.items() if not usable])
def test_what_has_derivatives_of_its_own_is_left_alone(kind):
    assert not is_used(KINDS[kind][0], W, C)


def test_the_rules_of_this_package_are_those_of_functions():
    assert is_used(lambda w, c: det(jnp.diag(w["a"] * c)) * w["b"], W, C)


def test_derivatives_are_those_of_differences():
    assert_derivatives_match(lambda c: mixed(lambda w: layers(w, c))(W), C, order=2, num_directions=1)


def test_a_loop_on_something_else_than_the_weights():
    slope = lambda way, w: jax.grad(lambda w: outcome(looped, way, w, C))(w)
    both = jax.jit(lambda w: (slope(mixed, w), slope(plain, w)))(W)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-13), *both)


def test_several_dtypes():
    w = {"a": W["a"].astype(jnp.float32), "b": W["b"]}
    f = lambda w, c: jnp.sum(jnp.sin(w["a"].astype(float) * c)) * w["b"]
    slope = lambda way: jax.grad(partial(outcome, f, way), argnums=(0, 1))(w, C)
    ours, expected = jax.jit(lambda: (slope(mixed), slope(plain)))()
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), ours, expected)
    assert ours[0]["a"].dtype == jnp.float32


def test_it_keeps_its_inputs_and_nothing_else():
    def bytes_of(way):
        f = lambda w, c: jnp.sum(lax.scan(lambda x, _: (jnp.sin(x * w), None), jnp.ones(1000) * c, length=50)[0])
        _, back = jax.vjp(lambda c: way(lambda w: f(w, c))(jnp.array(0.3))[1], 0.7)
        return sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(back, eqx.is_array)))

    assert bytes_of(mixed) < 100
    assert bytes_of(plain) > 100_000
