"""Adaptive control of a simulated pendulum whose controller is optimized inside.

At each try a controller plans the torques of a lift by minimizing a cost over a whole trajectory of its own model
of the pendulum. The model's length, mass and friction are wrong, so the plan fails on the true pendulum. The cost of
what truly happened is a function of the model through everything the planner did; its derivative goes through the
planner's minimization, by the implicit function theorem, and after some tries the plans work (Amos et al. 2018 do
this for quadratic planning problems).

    python examples/adaptive_control.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from hype_optim import AbstractRange, Adam, Implicit, Newton, NormClip, Params, Result, minimize, positive
from jax import lax
from jaxtyping import Array, Float

GRAVITY, SECONDS = 9.81, 0.05


class Pendulum(eqx.Module):
    """A rod with a mass at its end."""

    length: AbstractRange  # meters
    mass: AbstractRange  # kilograms
    friction: AbstractRange  # newton meter seconds

    def swing(self, torques: Float[Array, " steps"]) -> Float[Array, "steps 2"]:
        """Angle (0 is up) and angular velocity after each step, from hanging at rest."""
        length, mass, friction = self.length.value, self.mass.value, self.friction.value
        inertia = mass * length**2

        def step(state: Float[Array, "2"], torque: Float[Array, ""]) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
            angle, velocity = state
            pull = mass * GRAVITY * length * jnp.sin(angle) - friction * velocity + torque
            velocity = velocity + SECONDS * pull / inertia
            state = jnp.stack([angle + SECONDS * velocity, velocity])
            return state, state

        return lax.scan(step, jnp.array([jnp.pi, 0.0]), torques)[1]


class Adapted(NamedTuple):
    """The models before and after, what truly happened under the plans of each, and under those of the true model."""

    before: Pendulum
    after: Pendulum
    angles: tuple[Float[Array, " steps"], ...]
    costs: tuple[float, ...]
    outer: Result


TRUE = Pendulum(positive(1.0), positive(1.0), positive(0.5))


def cost(states: Float[Array, "steps 2"], torques: Float[Array, " steps"]) -> Float[Array, ""]:
    """How far from standing still at a right angle to the vertical, mostly in the end, and how much torque."""
    angle, velocity = states.T
    away = 1 - jnp.cos(angle - jnp.pi / 2) + 0.05 * velocity**2
    last = len(torques) // 3
    return jnp.mean(away) + 4 * jnp.mean(away[-last:]) + 1e-3 * jnp.mean(torques**2)


def planned_cost(model: Pendulum, torques: Float[Array, " steps"]) -> Float[Array, ""]:
    """What the model says that the torques cost."""
    return cost(model.swing(torques), torques)


def plan(model: Pendulum, steps: int, inner_steps: int) -> Float[Array, " steps"]:
    """The torques that the model makes look best."""
    params = Params(inner_steps, method=Newton(), adjoint=Implicit(lx.LU()), return_best=False, silent=True)
    return minimize(jax.tree_util.Partial(planned_cost, model), jnp.zeros(steps), params).w


def solve(steps: int, inner_steps: int, tries: int) -> Adapted:
    """Adapt the model, and say what it is worth."""

    def true_cost(model: Pendulum) -> Float[Array, ""]:
        torques = plan(model, steps, inner_steps)
        return planned_cost(TRUE, torques)

    @jax.jit
    def truth(model: Pendulum) -> tuple[Float[Array, ""], Float[Array, " steps"]]:
        torques = plan(model, steps, inner_steps)
        return planned_cost(TRUE, torques), TRUE.swing(torques)[:, 0]

    start = Pendulum(positive(0.7), positive(0.6), positive(0.05))
    params = Params(tries, learning_rate=Adam(0.05), gradient_clipping=NormClip(1.0), silent=True)
    outer = minimize(true_cost, start, params)
    models = start, outer.w, TRUE
    costs, angles = zip(*(truth(model) for model in models), strict=True)
    for name, model, value in zip(("wrong model", "adapted model", "true model"), models, costs, strict=True):
        values = (
            f"length {model.length.value:.2f} m, mass {model.mass.value:.2f} kg, friction {model.friction.value:.2f}"
        )
        print(f"{name:13}: {values}; true cost of its plan {float(value):.4f}")
    print(f"After {tries} tries the plans cost {costs[0] / costs[1]:.1f} times less.")
    return Adapted(start, outer.w, angles, tuple(map(float, costs)), outer)


def draw(result: Adapted, out: Path) -> None:
    """Draw the angle of the true pendulum under each plan, and the cost over the tries."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    names, colors = ("wrong model", "adapted model", "true model"), ("tab:gray", "tab:red", "black")
    for name, color, angle in zip(names, colors, result.angles, strict=True):
        style = "--" if color == "black" else "-"
        left.plot(
            SECONDS * jnp.arange(1, len(angle) + 1),
            jnp.rad2deg(angle),
            style,
            color=color,
            label=f"planned by the {name}",
        )
    left.axhline(90, color="tab:green", linewidth=0.8)
    left.set(title="angle of the true pendulum (180: hanging, 90: the aim)", xlabel="seconds", ylabel="degrees")
    left.legend(fontsize="small")
    tries = result.outer.loss_history
    right.plot(tries, color="tab:red")
    right.plot(jnp.argmin(tries), jnp.min(tries), "*", color="tab:red", markersize=12, label="the best")
    right.axhline(result.costs[2], color="black", linestyle="--", label="planned by the true model")
    right.set(title="true cost of the plan", xlabel="try", ylabel="cost", yscale="log")
    right.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Adapted:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="steps of 0.05 seconds of a lift")
    parser.add_argument("--inner-steps", type=int, default=12, help="steps of the planner")
    parser.add_argument("--tries", type=int, default=60, help="tries on the true pendulum")
    parser.add_argument("--out", type=Path, default=Path("out/adaptive_control.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    result = solve(options.steps, options.inner_steps, options.tries)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
