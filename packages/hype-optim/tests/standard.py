"""Standard problems of unconstrained minimization, from their published starts (Moré, Garbow & Hillstrom 1981).

Each is a sum of squares of residuals; the numbers are those of the paper.
"""

import jax.numpy as jnp


def rosenbrock(x):
    return jnp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def freudenstein_roth(x):
    a, b = x
    return jnp.stack([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])


def powell_badly_scaled(x):
    return jnp.stack([1e4 * x[0] * x[1] - 1, jnp.exp(-x[0]) + jnp.exp(-x[1]) - 1.0001])


def brown_badly_scaled(x):
    return jnp.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


def beale(x):
    return jnp.array([1.5, 2.25, 2.625]) - x[0] * (1 - jnp.stack([x[1], x[1] ** 2, x[1] ** 3]))


def helical_valley(x):
    angle = jnp.arctan2(x[1], x[0]) / (2 * jnp.pi)
    return jnp.stack([10 * (x[2] - 10 * angle), 10 * (jnp.hypot(x[0], x[1]) - 1), x[2]])


BARD = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]


def bard(x):
    u = jnp.arange(1.0, 16)
    v = 16 - u
    return jnp.array(BARD) - (x[0] + u / (v * x[1] + jnp.minimum(u, v) * x[2]))


GAUSSIAN = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989]


def gaussian(x):
    t = (8 - jnp.arange(1.0, 16)) / 2
    return x[0] * jnp.exp(-x[1] * (t - x[2]) ** 2 / 2) - jnp.array([*GAUSSIAN, *GAUSSIAN[-2::-1]])


def box(x):
    t = jnp.arange(1.0, 11) / 10
    return jnp.exp(-t * x[0]) - jnp.exp(-t * x[1]) - x[2] * (jnp.exp(-t) - jnp.exp(-10 * t))


def powell_singular(x):
    return jnp.stack(
        [
            x[0] + 10 * x[1],
            5**0.5 * (x[2] - x[3]),
            (x[1] - 2 * x[2]) ** 2,
            10**0.5 * (x[0] - x[3]) ** 2,
        ]
    )


def wood(x):
    return jnp.stack(
        [
            10 * (x[1] - x[0] ** 2),
            1 - x[0],
            90**0.5 * (x[3] - x[2] ** 2),
            1 - x[2],
            10**0.5 * (x[1] + x[3] - 2),
            (x[1] - x[3]) / 10**0.5,
        ]
    )


KOWALIK_Y = [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
KOWALIK_U = [4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]


def kowalik_osborne(x):
    u = jnp.array(KOWALIK_U)
    return jnp.array(KOWALIK_Y) - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def brown_dennis(x):
    t = jnp.arange(1.0, 21) / 5
    return (x[0] + t * x[1] - jnp.exp(t)) ** 2 + (x[2] + x[3] * jnp.sin(t) - jnp.cos(t)) ** 2


def biggs(x):
    t = jnp.arange(1.0, 14) / 10
    y = jnp.exp(-t) - 5 * jnp.exp(-10 * t) + 3 * jnp.exp(-4 * t)
    return x[2] * jnp.exp(-t * x[0]) - x[3] * jnp.exp(-t * x[1]) + x[5] * jnp.exp(-t * x[4]) - y


def extended_rosenbrock(x):
    return jnp.concatenate([10 * (x[1::2] - x[::2] ** 2), 1 - x[::2]])


def penalty_one(x):
    return jnp.append(1e-5**0.5 * (x - 1), jnp.sum(x**2) - 0.25)


def variably_dimensioned(x):
    weighted = jnp.sum(jnp.arange(1.0, x.size + 1) * (x - 1))
    return jnp.concatenate([x - 1, jnp.stack([weighted, weighted**2])])


def trigonometric(x):
    i = jnp.arange(1.0, x.size + 1)
    return x.size - jnp.sum(jnp.cos(x)) + i * (1 - jnp.cos(x)) - jnp.sin(x)


def brown_almost_linear(x):
    return jnp.append(x[:-1] + jnp.sum(x) - (x.size + 1), jnp.prod(x) - 1)


def chebyquad(x):
    shifted = 2 * x - 1
    before, last, residuals = jnp.ones_like(x), shifted, []
    for i in range(1, x.size + 1):
        residuals.append(jnp.mean(last) - (0.0 if i % 2 else -1 / (i**2 - 1)))
        before, last = last, 2 * shifted * last - before
    return jnp.stack(residuals)


# The residuals, the start, and the values of the known minima.
PROBLEMS = {
    "Rosenbrock": (rosenbrock, [-1.2, 1.0], [0.0]),
    "Freudenstein-Roth": (freudenstein_roth, [0.5, -2.0], [0.0, 48.98425]),
    "Powell badly scaled": (powell_badly_scaled, [0.0, 1.0], [0.0]),
    "Brown badly scaled": (brown_badly_scaled, [1.0, 1.0], [0.0]),
    "Beale": (beale, [1.0, 1.0], [0.0]),
    "helical valley": (helical_valley, [-1.0, 0.0, 0.0], [0.0]),
    "Bard": (bard, [1.0, 1.0, 1.0], [8.21487e-3, 17.42869]),
    "Gaussian": (gaussian, [0.4, 1.0, 0.0], [1.12793e-8]),
    "Box": (box, [0.0, 10.0, 20.0], [0.0]),
    "Powell singular": (powell_singular, [3.0, -1.0, 0.0, 1.0], [0.0]),
    "Wood": (wood, [-3.0, -1.0, -3.0, -1.0], [0.0]),
    "Kowalik-Osborne": (kowalik_osborne, [0.25, 0.39, 0.415, 0.39], [3.07505e-4, 1.02734e-3]),
    "Brown-Dennis": (brown_dennis, [25.0, 5.0, -5.0, -1.0], [85822.2]),
    "Biggs": (biggs, [1.0, 2.0, 1.0, 1.0, 1.0, 1.0], [0.0, 5.65565e-3]),
    "extended Rosenbrock, 20": (extended_rosenbrock, [-1.2, 1.0] * 10, [0.0]),
    "penalty I, 10": (penalty_one, [float(i) for i in range(1, 11)], [7.08765e-5]),
    "variably dimensioned, 10": (variably_dimensioned, [1 - i / 10 for i in range(1, 11)], [0.0]),
    "trigonometric, 10": (trigonometric, [0.1] * 10, [0.0, 2.79506e-5]),
    "Brown almost linear, 10": (brown_almost_linear, [0.5] * 10, [0.0, 1.0]),
    "Chebyquad, 8": (chebyquad, [i / 9 for i in range(1, 9)], [3.51687e-3]),
}


def sum_of_squares(residuals):
    """The sum of the squares of residuals."""
    return lambda x: jnp.sum(residuals(x) ** 2)


def reached(value, minima):
    """Whether a value is that of one of the known minima."""
    return any(value <= known * (1 + 1e-5) + 1e-8 for known in minima)
