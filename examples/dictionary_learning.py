"""Learning a dictionary of digits: sparse codes are minima inside, and the dictionary is the minimum outside.

An image is a sum of few atoms: its code minimizes half of the squared error plus a multiple of the code's 1-norm, by
proximal gradient descent (`SoftThreshold`). The dictionary minimizes what is left, as scikit-learn's does by turns.
There are two ways to its derivative from codes that were stopped early. Danskin's takes the codes as constants, which
is right at their minimum alone; the exact derivative of the stopped run goes through its steps. Once it is known which
entries are 0 the first is as wrong as the codes, the second as wrong as their square (Ablin, Peyre & Moreau 2020,
"Super-efficiency of automatic differentiation for functions defined as a minimum"); before that it may be worse.

    python examples/dictionary_learning.py
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import LBFGS, Params, SoftThreshold, minimize
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.decomposition import DictionaryLearning

PENALTY = 0.1
Images = Float[Array, "images 64"]
Dictionary = Float[Array, "atoms 64"]


def codes(x: Images, atoms: Dictionary, steps: int) -> Float[Array, "images atoms"]:
    """The sparse codes of images, after some steps of proximal gradient descent."""
    squares = jax.tree_util.Partial(lambda x, atoms, z: jnp.sum((x - z @ atoms) ** 2) / 2, x, atoms)
    rate, constraint = 1 / jnp.linalg.norm(atoms, 2) ** 2, SoftThreshold(PENALTY)
    params = Params(steps, learning_rate=rate, constraint=constraint, return_best=False, silent=True)
    return minimize(squares, jnp.zeros((len(x), len(atoms))), params).w


def cost(x: Images, directions: Dictionary, steps: int, exact: bool = True) -> Float[Array, ""]:
    """What a dictionary with atoms of length 1 leaves, for an image."""
    atoms = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    z = codes(x, atoms, steps)
    z = z if exact else jax.lax.stop_gradient(z)
    return (jnp.sum((x - z @ atoms) ** 2) / 2 + PENALTY * jnp.sum(jnp.abs(z))) / len(x)


def errors(x: Images, atoms: Dictionary, numbers: tuple[int, ...]) -> Float[np.ndarray, "2 numbers"]:
    """How far the derivatives, exact and Danskin's, after some steps are from that at the minimum."""
    slope = jax.jit(jax.grad(cost, argnums=1), static_argnums=(2, 3))
    right = slope(x, atoms, 10 * numbers[-1], False)
    wrong = lambda steps, exact: float(jnp.linalg.norm(slope(x, atoms, steps, exact) - right))
    return np.array([[wrong(steps, exact) for steps in numbers] for exact in (True, False)])


@jax.enable_x64(True)
def main(
    images: int = 300,
    size: int = 32,
    steps: int = 100,
    numbers: tuple[int, ...] = (5, 10, 20, 40, 80, 160, 320, 640),
    out: str = "out/dictionary_learning.png",
) -> tuple[list[float], Float[np.ndarray, "2 numbers"]]:
    """Learn and draw; gives the costs of our dictionary and of scikit-learn's, and the errors of the derivatives."""
    x = load_digits(return_X_y=True)[0][:images] / 16
    x = jnp.asarray(x - x.mean(axis=0))
    objective = jax.tree_util.Partial(lambda x, w: cost(x, w, 40), x)
    w = minimize(objective, x[:size], Params(steps, method=LBFGS(), silent=True)).w
    settings: dict[str, Any] = {"alpha": PENALTY, "max_iter": 2 * steps, "fit_algorithm": "cd", "random_state": 0}
    theirs = DictionaryLearning(size, **settings).fit(x)
    costs = [float(cost(x, atoms, 1000)) for atoms in (w, jnp.asarray(theirs.components_), x[:size])]
    print(f"What {size} atoms leave of an image: {costs[0]:.4f}; scikit-learn's {costs[1]:.4f}, images {costs[2]:.4f}")
    wrong = errors(x, w, numbers)
    power = np.polyfit(np.log(wrong[1, -3:]), np.log(wrong[0, -3:]), 1)[0]
    print(f"In the end the error of the exact derivative is that of Danskin's to the power {power:.2f}.")
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(np.block([[np.pad(w[8 * i + j].reshape(8, 8), 1) for j in range(8)] for i in range(size // 8)]))
    left.set(title="the atoms", xticks=[], yticks=[])
    for name, line in zip(("through the steps, exact", "Danskin's"), wrong, strict=True):
        right.loglog(numbers, line, "o-", label=name)
    right.set(title="error of the derivative in the dictionary", xlabel="steps of the codes")
    right.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    print(f"The picture is in {out}.")
    return costs, wrong


if __name__ == "__main__":
    main()
