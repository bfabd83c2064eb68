"""A deep equilibrium network: its one layer is applied until nothing changes, by `fixed_point`.

The state of the network is the solution of z = tanh(W z + U x + b) (Bai, Kolter & Koltun 2019, "Deep equilibrium
models"), the output of a layer that is applied infinitely often. There is one where the rows of W have 1-norms below 1
(El Ghaoui et al. 2021, "Implicit deep learning"). Its derivative is that of the implicit function theorem, so nothing
of the way there is kept. Anderson acceleration finds the solution, and that of the linear equation of the derivative,
in fewer applications of the layer. The network is trained on handwritten digits with it.

    python examples/deep_equilibrium.py
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import Anderson, FixedPoint, fixed_point
from hype_neural import Linear
from hype_optim import Adam, CrossEntropyOnLinear, Dataset, Minibatch, Params, train
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from sklearn.datasets import load_digits


class Compared(NamedTuple):
    """The test error, applications of the layer with and without acceleration, and errors of derivatives by steps."""

    error: float
    steps: list[np.ndarray]
    apart: list[float]


class Equilibrium(eqx.Module):
    """A classifier of digits by the state that its layer does not change."""

    inner: Float[Array, "hidden hidden"]
    outer: Linear
    last: Linear
    acceleration: Anderson | None

    def layer(self, z: Float[Array, " hidden"], x: Float[Array, "64"]) -> Float[Array, " hidden"]:
        """What is applied again and again."""
        rows = jnp.sum(jnp.abs(self.inner), axis=1, keepdims=True)
        return jnp.tanh(self.inner / jnp.maximum(1, rows / 0.98) @ z + self.outer(x))

    def state(self, x: Float[Array, "64"]) -> FixedPoint:
        """The state that stays as it is, and how it was found."""
        return fixed_point(self.layer, jnp.zeros(len(self.inner)), x, tolerance=1e-8, acceleration=self.acceleration)

    def __call__(self, x: Float[Array, "64"]) -> Float[Array, "10"]:
        """The logits."""
        return self.last(self.state(x).value)


def repeated(model: Equilibrium, x: Float[Array, "64"], times: int) -> Float[Array, "10"]:
    """The logits after the layer has been applied some times."""
    step = lambda z, _: (model.layer(z, x), None)
    return model.last(jax.lax.scan(step, jnp.zeros(len(model.inner)), None, times)[0])


@jax.enable_x64(True)
def main(epochs: int = 20, hidden: int = 40, out: str = "out/deep_equilibrium.png") -> Compared:
    """Train, compare and draw."""
    x, y = load_digits(return_X_y=True)
    data, test = Dataset(x / 16, y).split([1200, 597], key=jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 3)
    inner = jax.random.normal(keys[0], (hidden, hidden)) / hidden
    model = Equilibrium(inner, Linear(64, hidden, key=keys[1]), Linear(hidden, 10, key=keys[2]), Anderson(5))
    params = Params(epochs, None, Adam(0.01), loss=CrossEntropyOnLinear(), batch=Minibatch(100), return_best=False)
    model = train(model, data, params, key=jax.random.key(2)).w
    plain = eqx.tree_at(lambda m: m.acceleration, model, None, is_leaf=lambda part: isinstance(part, Anderson))
    steps = [np.asarray(jax.jit(jax.vmap(m.state))(test.x).steps) for m in (model, plain)]

    @eqx.filter_jit
    def slope(model: Equilibrium, times: int | None) -> Float[Array, " numbers"]:
        """The derivative of the test loss in all weights, with the layer applied some times or infinitely often."""
        logits = lambda model, x: model(x) if times is None else repeated(model, x, times)
        loss = lambda model: jnp.mean(
            jax.vmap(CrossEntropyOnLinear())(jax.vmap(partial(logits, model))(test.x), test.y)
        )
        return ravel_pytree(eqx.filter_grad(loss)(model))[0]

    right, numbers = slope(model, None), [1, 2, 4, 8, 16, 32, 64]
    apart = [float(jnp.linalg.norm(slope(model, n) - right) / jnp.linalg.norm(right)) for n in numbers]
    error = float(jnp.mean(jnp.argmax(jax.vmap(model)(test.x), axis=1) != test.y))
    fast, slow = (s.mean() for s in steps)
    print(f"Test error {error:.1%}; the layer is applied {fast:.1f} times with acceleration, {slow:.1f} times without.")
    print(f"Derivative after {numbers[-1]} applications: {apart[-1]:.1e} of its length from that of the theorem.")
    left, right = (figure := Figure(figsize=(10, 3.8), layout="constrained")).subplots(1, 2)
    left.hist(
        steps, bins=np.arange(steps[1].max() + 2) - 0.5, histtype="stepfilled", alpha=0.6, label=["Anderson", "plain"]
    )
    left.set(title="until the state is found", xlabel="applications of the layer", ylabel="test images")
    left.legend()
    right.loglog(numbers, apart, "o-")
    right.set(title="derivative through the steps", xlabel="applications of the layer", ylabel="relative error")
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    print(f"The picture is in {out}.")
    return Compared(error, steps, apart)


if __name__ == "__main__":
    main()
