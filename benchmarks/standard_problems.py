"""Every method on standard problems: steps, evaluations of the objective and the value reached, as tables of Markdown.

An evaluation is one call of the objective, with or without its derivatives; Hessian products are not counted. SciPy's
methods run on the same functions.

    python benchmarks/standard_problems.py                      # all problems
    python benchmarks/standard_problems.py --problems beale
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize
from hype_optim import (
    CD,
    CG,
    GD,
    LBFGS,
    Adam,
    Backtrack,
    DaiYuanCG,
    Newton,
    NewtonCG,
    NonlinearCG,
    Params,
    RMSProp,
    Status,
    StrongWolfe,
    minimize,
)
from sklearn.datasets import load_breast_cancer, load_diabetes

STEPS, TOLERANCE = 3000, 1e-6

METHODS = {
    "GD, RMSProp(0.01, 0.9)": {"learning_rate": RMSProp(0.01, 0.9)},
    "GD, Adam(0.01)": {"learning_rate": Adam(0.01)},
    "GD, Backtrack()": {"learning_rate": Backtrack()},
    "GD, StrongWolfe()": {"method": GD(), "learning_rate": StrongWolfe()},
    "CG": {"method": CG()},
    "CD": {"method": CD()},
    "NonlinearCG": {"method": NonlinearCG()},
    "DaiYuanCG": {"method": DaiYuanCG()},
    "NewtonCG": {"method": NewtonCG()},
    "Newton": {"method": Newton()},
    "LBFGS": {"method": LBFGS()},
    "Optax's lbfgs": {"method": optax.lbfgs()},
}


def beale(w):
    x, y = w
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def rosenbrock(w):
    return jnp.sum(100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2)


def himmelblau(w):
    return (w[0] ** 2 + w[1] - 11) ** 2 + (w[0] + w[1] ** 2 - 7) ** 2


def quadratic(w):
    return 0.5 * jnp.sum(jnp.geomspace(1, 1e4, w.size) * w**2)


def logistic_regression():
    x, y = load_breast_cancer(return_X_y=True)
    x, sign = jnp.asarray((x - x.mean(0)) / x.std(0)), jnp.asarray(2.0 * y - 1)
    return lambda w: jnp.mean(jnp.logaddexp(0, -sign * (x @ w))) + 0.01 * w @ w


def linear_regression():
    x, y = load_diabetes(return_X_y=True)
    x, y = jnp.asarray((x - x.mean(0)) / x.std(0)), jnp.asarray((y - y.mean()) / y.std())
    return lambda w: jnp.mean((x @ w - y) ** 2)


def problems():
    """Each problem's function and start."""
    return {
        "beale": (beale, np.array([1.0, 1.5])),
        "rosenbrock, 2": (rosenbrock, np.array([-1.2, 1.0])),
        "rosenbrock, 100": (rosenbrock, np.full(100, 0.5)),
        "himmelblau": (himmelblau, np.zeros(2)),
        "quadratic, 50, condition 1e4": (quadratic, np.ones(50)),
        "logistic regression, breast cancer": (logistic_regression(), np.zeros(30)),
        "linear regression, diabetes": (linear_regression(), np.zeros(10)),
    }


def counted(f):
    """`f`, and a function that gives the number of its evaluations since it was last asked."""
    calls = []

    def counting(w):
        jax.debug.callback(lambda: calls.append(1))
        return f(w)

    def evaluations():
        jax.effects_barrier()
        number = len(calls)
        calls.clear()
        return number

    return counting, evaluations


def rows(f, start):
    """One row for each method: its name, steps, evaluations, final value and whether it converged."""
    for name, choices in METHODS.items():
        counting, evaluations = counted(f)
        result = minimize(counting, start, Params(STEPS, **choices, tolerance=TOLERANCE, silent=True))
        jax.block_until_ready(result)
        # The last evaluation gives the result its loss.
        yield name, int(result.steps), evaluations() - 1, float(result.loss), bool(result.status == Status.CONVERGED)
    value, gradient = jax.jit(f), jax.jit(jax.grad(f))
    for name in ("CG", "L-BFGS-B"):
        limits = {"maxiter": STEPS, "gtol": TOLERANCE} | ({"ftol": 0, "maxfun": 10**6} if name == "L-BFGS-B" else {})
        result = scipy.optimize.minimize(value, start, jac=gradient, method=name, options=limits)
        yield f"SciPy's {name}", result.nit, result.nfev, float(result.fun), bool(result.success)


def main():
    """Print one table per problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="*", help="names of problems, all by default")
    chosen = parser.parse_args().problems
    jax.config.update("jax_enable_x64", True)
    for name, (f, start) in problems().items():
        if chosen and name not in chosen:
            continue
        print(f"\n### {name}\n\n| method | steps | evaluations | value | converged |\n|---|---|---|---|---|")
        for method, steps, evaluations, value, converged in rows(f, start):
            print(f"| {method} | {steps} | {evaluations} | {value:.3g} | {'yes' if converged else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
