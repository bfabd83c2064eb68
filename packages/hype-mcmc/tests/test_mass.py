import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import HMC, DenseMass, DiagonalMass, LowRankMass, Moments, UnitMass

from .problems import quartic, quartic_of_tree, step


@eqx.filter_jit
def adapted(mass, covariance):
    """The mass by the covariance of a great many draws; a dense one by that of the scores of a Gaussian too."""
    count = jnp.asarray(1e9)
    moments = lambda covariance: Moments(count, jnp.zeros(len(covariance)), covariance * (count - 1))
    if isinstance(mass, DenseMass):
        return mass.adapted((moments(covariance), moments(jnp.linalg.pinv(covariance))))
    return mass.adapted(moments(covariance))


LOWER = np.array([[1.0, 0.0, 0.0], [0.3, 0.8, 0.0], [-0.2, 0.1, 1.2]])
DIAGONAL = np.array([1.0, 2.0, 0.5])
MASSES = {
    "unit": (UnitMass(), np.eye(3)),
    "diagonal": (DiagonalMass(DIAGONAL), np.diag(DIAGONAL)),
    "dense": (DenseMass(LOWER), LOWER @ LOWER.T),
}
SCALE, DIRECTIONS, STRETCH = (
    np.array([1.0, 0.8, 1.2]),
    np.array([[0.7, 0.7, 0.1], [0.1, 0.0, 1.0]]),
    np.array([1.5, 0.8]),
)
ROOT = np.diag(SCALE) @ (np.eye(3) + DIRECTIONS.T @ np.diag(STRETCH - 1) @ DIRECTIONS)
LOW_RANK = LowRankMass(2, SCALE, DIRECTIONS, STRETCH), np.linalg.inv(ROOT @ ROOT.T)


@pytest.mark.parametrize(("mass", "matrix"), [*MASSES.values(), LOW_RANK], ids=[*MASSES, "low rank"])
def test_a_mass_is_its_matrix(mass, matrix, key):
    v = np.array([0.5, -1.0, 2.0])
    draw = lambda key: jax.vmap(mass.draw)(jax.random.normal(key, (20_000, 3)))
    momentum, velocity, draws = jax.jit(lambda v, key: (mass.momentum(v), mass.velocity(v), draw(key)))(v, key)
    np.testing.assert_allclose(momentum, matrix @ v, rtol=1e-12)
    np.testing.assert_allclose(velocity, np.linalg.solve(matrix, v), rtol=1e-12)
    np.testing.assert_allclose(np.cov(np.asarray(draws).T), matrix, atol=0.06)


def test_what_is_above_the_diagonal_of_a_factor_is_not_read():
    full = LOWER + np.triu(np.ones((3, 3)), 1)
    velocity = jax.jit(lambda mass: mass.velocity(jnp.array([0.5, -1.0, 2.0])))
    np.testing.assert_array_equal(velocity(DenseMass(full)), velocity(DenseMass(LOWER)))


def test_a_dense_mass_from_its_matrix():
    mass = DenseMass.of_matrix(LOWER @ LOWER.T)
    np.testing.assert_allclose(mass.cholesky, LOWER, atol=1e-14)


@pytest.mark.parametrize("name", MASSES)
def test_the_mass_that_fits_a_covariance_is_its_inverse(name):
    mass, _ = MASSES[name]
    a = np.random.default_rng(0).normal(size=(3, 3))
    covariance = a @ a.T + np.eye(3)
    fitted = adapted(mass, np.diagonal(covariance) if name == "diagonal" else covariance)
    expected = {"unit": np.eye(3), "diagonal": np.diag(1 / np.diag(covariance)), "dense": np.linalg.inv(covariance)}[
        name
    ]
    got = jax.jit(jax.vmap(fitted.momentum))(np.eye(3))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


WIDE, STEEP = (a @ a.T + 0.1 * np.eye(3) for a in np.random.default_rng(1).normal(size=(2, 3, 3)))


@jax.jit
def metric(wide):
    """What a dense mass learns where draws have one covariance and scores another."""
    count = jnp.asarray(1e9)
    moments = (Moments(count, jnp.zeros(3), covariance * (count - 1)) for covariance in (wide, STEEP))
    return jax.vmap(DenseMass().shaped(jnp.zeros(3)).adapted(tuple(moments)).velocity)(jnp.eye(3))


def test_a_dense_mass_is_the_inverse_of_a_geometric_mean():
    """Of the covariance of draws and the inverse one of scores, the metric of least Fisher divergence."""
    np.testing.assert_allclose(metric(WIDE) @ STEEP @ metric(WIDE), WIDE, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("start", [WIDE, np.linalg.inv(STEEP)], ids=["of two", "of the same"])
def test_a_geometric_mean_has_derivatives(start):
    assert_derivatives_match(lambda t: metric(start + t * (np.eye(3) + WIDE)), jnp.zeros(()), order=2)


def test_scores_that_do_not_vary_leave_it_to_the_draws():
    """Up to the rounding of their mean, as beside a wall that a slope leads to."""
    count, mean = jnp.asarray(1e9), jnp.array([0.0, 0.3])

    @jax.jit
    @jax.value_and_grad
    def sum_of_factor(wide):
        squares = ((mean, wide), (mean, jnp.array([0.25, 1e-33])))
        moments = tuple(Moments(count, mean, jnp.diag(variances) * (count - 1)) for mean, variances in squares)
        return jnp.sum(DenseMass().shaped(jnp.zeros(2)).adapted(moments).cholesky)

    np.testing.assert_allclose(sum_of_factor(jnp.array([4.0, 9.0]))[0], 1 / 2 + 1 / 3, rtol=1e-6)
    assert np.all(np.isfinite(sum_of_factor(jnp.array([4.0, 0.0]))[1]))


def test_a_score_that_has_no_finite_square_does_not_spoil_the_others():
    mass = DenseMass().shaped(jnp.zeros(2))
    positions = jnp.asarray(np.random.default_rng(0).normal(size=(50, 2)))
    scores = (-positions / 4).at[7].set(jnp.array([1e200, jnp.inf]))
    made = jax.jit(lambda x, s: mass.adapted(mass.update(mass.statistics(x[0]), x, s)))(positions, scores)
    np.testing.assert_allclose(np.diag(made.cholesky), 0.5, rtol=0.2)


def test_a_variance_of_zero_leaves_the_mass():
    covariance = np.array([[4.0, 0.0], [0.0, 0.0]])
    old = DenseMass(np.diag([1.0, 3.0]))
    dense = adapted(old, covariance)
    np.testing.assert_allclose(dense.cholesky, np.diag([0.5, 3.0]), rtol=1e-6, atol=1e-12)
    diagonal = adapted(DiagonalMass(np.array([1.0, 9.0])), np.diagonal(covariance))
    np.testing.assert_allclose(diagonal.diagonal, [0.25, 9.0], rtol=1e-6)


def test_structure_is_only_a_name(key):
    """A vector and a dict of its pieces, with masses to match, make the same chain."""
    flat = HMC(0.3, 5, DiagonalMass(DIAGONAL))
    tree = HMC(0.3, 5, DiagonalMass({"a": DIAGONAL[0], "b": DIAGONAL[1:]}))
    x = np.array([0.3, -0.2, 1.0])
    state, _ = step(flat, key, flat.init(x, quartic), quartic)
    other, _ = step(tree, key, tree.init({"a": x[0], "b": x[1:]}, quartic_of_tree), quartic_of_tree)
    np.testing.assert_allclose(state.position, np.r_[other.position["a"], other.position["b"]], rtol=1e-13)


@pytest.mark.parametrize("name", ["diagonal", "dense"])
def test_a_change_of_mass_is_a_change_of_coordinates(name, key):
    """With x = A y and M = (A A')^-1, HMC in x does what HMC with a unit mass does in y (Neal 2011, section 4.1)."""
    a = np.diag([2.0, 0.5, 1.5]) if name == "diagonal" else LOWER.T
    inverse = np.linalg.inv(a)
    # The momenta agree draw by draw, too, if the factor of the mass is A'^-1, which is lower triangular here.
    mass = DiagonalMass(np.diag(inverse) ** 2) if name == "diagonal" else DenseMass(inverse.T)
    y = np.array([0.3, -0.2, 1.0])
    in_x, in_y = HMC(0.2, 8, mass), HMC(0.2, 8)
    state_x, info_x = step(in_x, key, in_x.init(a @ y, quartic), quartic)
    in_y_density = jax.jit(lambda y: quartic(a @ y))
    state_y, info_y = step(in_y, key, in_y.init(y, in_y_density), in_y_density)
    np.testing.assert_allclose(state_x.position, a @ np.asarray(state_y.position), rtol=1e-12)
    np.testing.assert_allclose(info_x.energy_error, info_y.energy_error, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiagonalMass([1.0, 0.0]), "`diagonal` must be positive and finite, got 0.0"),
        (lambda: DiagonalMass({"a": np.array([1.0, np.nan])}), "`diagonal` must be positive"),
        (lambda: DenseMass(np.diag([1.0, -1.0])), "`cholesky` must be positive"),
        (lambda: DenseMass(np.ones((2, 3))), "`cholesky` must be a square matrix"),
        (lambda: DenseMass(np.array([[1.0, 0.0], [np.nan, 1.0]])), "`cholesky` must be finite"),
        (lambda: DenseMass.of_matrix(np.array([[1.0, 2.0], [2.0, 1.0]])), "`matrix` must be positive definite"),
        (lambda: DenseMass.of_matrix(np.ones(3)), "`matrix` must be square"),
        (lambda: DenseMass.of_matrix(np.full((2, 2), np.nan)), "`matrix` must be"),
    ],
)
def test_a_mass_that_is_not_positive_definite_raises(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("mass", "message"),
    [
        (DiagonalMass(np.ones(2)), "`mass.diagonal` must have the shapes of the position"),
        (DiagonalMass({"a": np.ones(3)}), "`mass.diagonal` must be built like the position"),
        (DenseMass(np.eye(2)), "`mass.cholesky` must have a row for each number"),
        (DiagonalMass(), "`mass.diagonal` must be given but to `sample`"),
        (DenseMass(), "`mass.cholesky` must be given but to `sample`"),
    ],
)
def test_a_mass_that_does_not_fit_raises(mass, message):
    with pytest.raises(ValueError, match=message):
        HMC(0.1, 3, mass).init(np.zeros(3), quartic)
