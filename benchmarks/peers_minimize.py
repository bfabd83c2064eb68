"""`minimize` against JAXopt, Optimistix, Optax and SciPy: time of a solve, compiled, to the same gradient norm.

Small smooth problems, in float64 and on one core, all sides in turns in one process. Every side ends at a gradient of
2-norm at most 1e-6, which is checked, and at the same value; Optimistix, which tests other things, is given the loosest
tolerance of 1e-4, 1e-6, ... with which it does. Of each library its methods for smooth problems take part as they are
by default, and the fastest one counts. Times are of programs that are called again and again; the last column is of
programs that take turns call by call, as among other work. What is left out did not come to a gradient that short in
3,000 steps.

    python benchmarks/peers_minimize.py            # needs the `bench` dependency group
"""

import argparse

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import optax
import optimistix
import scipy.optimize
from _measure import medians, on_one_core, report
from hype_optim import CG, LBFGS, Newton, NewtonCG, Params, minimize
from standard_problems import STEPS, TOLERANCE, beale, logistic_regression, quadratic, rosenbrock


def problems():
    """Each problem's function and start."""
    return {
        "Rosenbrock, 2": (rosenbrock, jnp.array([-1.2, 1.0])),
        "Rosenbrock, 10": (rosenbrock, jnp.full(10, 0.5)),
        "Beale": (beale, jnp.array([1.0, 1.5])),
        "quadratic, 50, condition 1e4": (quadratic, jnp.ones(50)),
        "logistic regression, breast cancer": (logistic_regression(), jnp.zeros(30)),
    }


def by_hype(method):
    def maker(f):
        params = Params(STEPS, method=method, tolerance=TOLERANCE, silent=True)
        return jax.jit(lambda w: minimize(f, w, params).w)

    return maker


def by_jaxopt(solver):
    return lambda f: jax.jit(lambda w: solver(f, maxiter=STEPS, tol=TOLERANCE).run(w).params)


def by_optimistix(solver):
    def maker(f):
        def with_tolerance(tolerance):
            method = solver(rtol=tolerance, atol=tolerance)
            solve = lambda w: optimistix.minimise(lambda w, _: f(w), method, w, max_steps=STEPS, throw=False)
            return jax.jit(lambda w: solve(w).value)

        return [with_tolerance(10.0**-n) for n in range(4, 13, 2)]

    return maker


def by_optax(f):
    """As in Optax's documentation of `lbfgs`."""
    optimizer, both = optax.lbfgs(), optax.value_and_grad_from_state(f)

    def unfinished(carry):
        _, _, gradient, steps = carry
        return (steps == 0) | ((steps < STEPS) & (optax.tree.norm(gradient) > TOLERANCE))

    def step(carry):
        w, state, _, steps = carry
        value, gradient = both(w, state=state)
        updates, state = optimizer.update(gradient, state, w, value=value, grad=gradient, value_fn=f)
        w = optax.apply_updates(w, updates)
        return w, state, optax.tree.get(state, "grad"), steps + 1

    run = lambda w: jax.lax.while_loop(unfinished, step, (w, optimizer.init(w), w, 0))[0]
    return jax.jit(run)


def by_scipy(method):
    def maker(f):
        both = jax.jit(jax.value_and_grad(f))
        evaluate = lambda w: tuple(np.asarray(part) for part in both(w))
        options = {"maxiter": STEPS} | ({"ftol": 0} if method == "L-BFGS-B" else {})

        def solve(w):  # its tolerance is of the largest entry
            limits = options | {"gtol": TOLERANCE / w.size**0.5}
            return scipy.optimize.minimize(evaluate, w, jac=True, method=method, options=limits).x

        return solve

    return maker


SIDES = {
    "Hype": {f"{type(method).__name__}": by_hype(method) for method in (LBFGS(), CG(), NewtonCG(), Newton())},
    "JAXopt": {solver.__name__: by_jaxopt(solver) for solver in (jaxopt.LBFGS, jaxopt.BFGS, jaxopt.NonlinearCG)},
    "Optimistix": {solver.__name__: by_optimistix(solver) for solver in (optimistix.BFGS, optimistix.LBFGS)},
    "Optax": {"lbfgs": by_optax},
    "SciPy": {method: by_scipy(method) for method in ("BFGS", "L-BFGS-B")},
}


def solvers(f, start):
    """What solves the problem: by library and method, a function without arguments."""
    slope = jax.jit(jax.grad(f))
    found, values = {}, {}
    for library, methods in SIDES.items():
        for method, maker in methods.items():
            made = maker(f)
            for run in made if isinstance(made, list) else [made]:
                w = run(start)
                if jnp.linalg.norm(slope(w)) <= TOLERANCE:
                    found[library, method] = lambda run=run: jax.block_until_ready(run(start))
                    values[library, method] = float(f(w))
                    break
    np.testing.assert_allclose(list(values.values()), values["Hype", "LBFGS"], rtol=1e-6, atol=1e-6)
    return found


def ratio(times):
    """Hype's fastest time over that of the fastest JAX peer."""
    best = lambda *libraries: min(seconds for side, seconds in times.items() if side.split()[0] in libraries)
    return best("Hype") / best("JAXopt", "Optimistix", "Optax")


def main(repeats=15):
    jax.config.update("jax_enable_x64", True)
    rows = []
    for name, (f, start) in problems().items():
        runs = solvers(f, start)
        sides = {" ".join(side): run for side, run in runs.items()}
        times = medians(sides, repeats)
        row = {"milliseconds": name}
        for library in SIDES:
            ours = {method: times[f"{library} {method}"] for side, method in runs if side == library}
            quickest = min(ours, key=ours.get) if ours else None
            row[library] = f"{1e3 * ours[quickest]:.3g} ({quickest})" if ours else "none"
        row |= {"Hype's LBFGS": 1e3 * times["Hype LBFGS"], "ratio to the best JAX peer": ratio(times)}
        row["the same, call by call"] = ratio(medians(sides, 20 * repeats, seconds=0))
        print(", ".join(f"{side} {1e3 * seconds:.3g}" for side, seconds in times.items()), flush=True)
        rows.append(row)
    report("minimize against its peers", rows, ("jaxopt", "optimistix", "optax", "scipy"))


if __name__ == "__main__":
    on_one_core()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    main(**vars(parser.parse_args()))
