"""Implicit derivatives against JAXopt and Optimistix: ridge regression, to an error of 1e-8 of its hypergradient.

The validation loss of a ridge regression on 500 rows and 100 features of condition 1e3, with a penalty for each
feature, has a derivative by the logarithms of all penalties in closed form. Each side minimizes, and differentiates
implicitly; the loosest tolerance counts of 1e-5, 1e-7, ... with which the derivative's relative error is at most 1e-8,
which is checked. In float64 and on one core, all in turns in one process. Of each library the fastest way counts.

    python benchmarks/peers_ridge.py               # needs the `bench` dependency group
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import jaxopt
import lineax
import optimistix
from _measure import medians, on_one_core, report
from hype_optim import CG, LBFGS, Implicit, Newton, NewtonCG, Params, minimize

STEPS, ERROR = 3000, 1e-8
LIMIT = 1.0


def problem(features):
    keys = jax.random.split(jax.random.key(0), 5)
    scales = jnp.geomspace(1, 1e-1, features)
    truth = jax.random.normal(keys[0], (features,))
    rows = lambda key, n: jax.random.normal(key, (n, features)) * scales
    x, x_valid = rows(keys[1], 5 * features), rows(keys[2], 2 * features)
    noisy = lambda key, x: x @ truth + jax.random.normal(key, x.shape[:1])
    return x, noisy(keys[3], x), x_valid, noisy(keys[4], x_valid)


def inner(data, w, penalty):
    x, y = data[:2]
    return jnp.mean((x @ w - y) ** 2) + jnp.sum(jnp.exp(penalty) * w**2)


def outer(data, w):
    x, y = data[2:]
    return jnp.mean((x @ w - y) ** 2)


def exactly(data, penalty):
    x, y = data[:2]
    return jnp.linalg.solve(x.T @ x / len(x) + jnp.diag(jnp.exp(penalty)), x.T @ y / len(x))


def by_hype(method, rate=None):
    def solve(data, start, penalty, tolerance):
        params = Params(
            STEPS,
            method=method,
            learning_rate=rate,
            tolerance=tolerance,
            adjoint=Implicit(linear_solver=lineax.CG(rtol=tolerance, atol=tolerance), tolerance=None),
            return_best=False,
            evaluate=False,
            silent=True,
        )
        f = jax.tree_util.Partial(lambda data, penalty, w: inner(data, w, penalty), data, penalty)
        return minimize(f, start, params).w

    return solve


def by_jaxopt(solver, **options):
    def solve(data, start, penalty, tolerance):
        f = lambda w, penalty: inner(data, w, penalty)
        linear = partial(jaxopt.linear_solve.solve_cg, tol=tolerance)
        run = solver(f, maxiter=STEPS, tol=tolerance, implicit_diff_solve=linear, **options).run
        return run(start, penalty).params

    return solve


def by_optimistix(solver, search):
    def solve(data, start, penalty, tolerance):
        adjoint = optimistix.ImplicitAdjoint(lineax.CG(rtol=tolerance, atol=tolerance))
        f = lambda w, penalty: inner(data, w, penalty)
        if search is optimistix.root_find:
            f = jax.grad(f)
        method = solver(rtol=tolerance, atol=tolerance)
        tags = frozenset({lineax.positive_semidefinite_tag})  # of the Hessian, which conjugate gradients ask for
        return search(f, method, start, penalty, adjoint=adjoint, tags=tags, max_steps=STEPS, throw=False).value

    return solve


SIDES = {
    "Hype": {
        "LBFGS": by_hype(LBFGS()),
        "CG": by_hype(CG()),
        "NewtonCG": by_hype(NewtonCG()),
        "Newton": by_hype(Newton()),
        "Newton, rate 1": by_hype(Newton(), 1.0),
    },
    "JAXopt": {
        "LBFGS": by_jaxopt(jaxopt.LBFGS),
        "BFGS": by_jaxopt(jaxopt.BFGS),
        "NonlinearCG": by_jaxopt(jaxopt.NonlinearCG),
    },
    "Optimistix": {
        "BFGS": by_optimistix(optimistix.BFGS, optimistix.minimise),
        "LBFGS": by_optimistix(optimistix.LBFGS, optimistix.minimise),
        "Newton": by_optimistix(optimistix.Newton, optimistix.root_find),
    },
}


def accurate(solve, data, start, penalty, expected):
    """The derivative at the loosest tolerance that is good enough, as a function without arguments, and its error."""
    for n in (5, 7, 9, 11, 13):
        loss = lambda penalty, start, data, n=n: outer(data, solve(data, start, penalty, 10.0**-n))
        derivative = jax.jit(jax.grad(loss))
        error = jnp.linalg.norm(derivative(penalty, start, data) - expected) / jnp.linalg.norm(expected)
        if error <= ERROR:
            return (lambda f=derivative: jax.block_until_ready(f(penalty, start, data))), float(error)
    return None


def row(features, repeats):
    data, start, penalty = problem(features), jnp.zeros(features), jnp.full(features, -3.0)
    expected = jax.grad(lambda penalty: outer(data, exactly(data, penalty)))(penalty)
    runs, errors = {}, {}
    for library, ways in SIDES.items():
        for way, solve in ways.items():
            if found := accurate(solve, data, start, penalty, expected):
                runs[f"{library} {way}"], errors[library, way] = found
            else:
                print(f"{features} features: {library}'s {way} does not reach {ERROR}.")
    times = medians(runs, repeats)
    best = {library: min(t for name, t in times.items() if name.startswith(library)) for library in SIDES}
    print({name: f"{1e3 * seconds:.3g} ms" for name, seconds in times.items()}, flush=True)
    cells = {}
    for library in SIDES:
        way = next(name for name, seconds in times.items() if seconds == best[library])
        cells[f"{library}, ms"] = f"{1e3 * best[library]:.3g} ({way.removeprefix(library + ' ')})"
    ratio = best["Hype"] / min(best["JAXopt"], best["Optimistix"])
    return {"features": features, **cells, "ratio to the better": ratio, "limit": LIMIT}


def main(repeats=11):
    jax.config.update("jax_enable_x64", True)
    rows = [row(features, repeats) for features in (20, 100)]
    report("ridge regression by implicit derivatives", rows, ("jaxopt", "optimistix"))


if __name__ == "__main__":
    on_one_core()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11)
    main(**vars(parser.parse_args()))
