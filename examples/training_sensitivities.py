"""Which training images move this prediction: the derivative of a test loss with respect to each training example.

Every training example gets a weight of one in the training loss. The loss of one test image after training is a
function of all these weights, and one reverse pass through the training gives its derivative with respect to each of
them: minus that is, to first order, how much the test loss rises if the example is left out. Influence functions (Koh &
Liang 2017, "Understanding black-box predictions via influence functions") do this at a minimum. The pass through the
training needs none (Hara et al. 2019, "Data cleansing for models trained with SGD"), so the model here is a network
that is trained for some steps only. For the examples that matter most, and for some others, the prediction is checked
by training again without them.

    python examples/training_sensitivities.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import CrossEntropyOnLinear, Dataset, L2Reg, Nesterov, Params, Result, train
from jaxtyping import Array, Float, Int

CLASSES, SHOWN = 10, 5


class Sensitivities(NamedTuple):
    """The training data, the test image, and what leaving a training example out does to the test loss.

    Attributes:
        data: the training data.
        image: the test image.
        label: its class.
        guess: the class that the model takes it for.
        loss: its loss, when all training examples are used.
        predicted: how much the loss rises without an example, by the derivative, for each example.
        checked: the examples that were left out to see.
        actual: how much the loss rose without each of those.
    """

    data: Dataset
    image: Float[Array, " pixels"]
    label: int
    guess: int
    loss: float
    predicted: Float[np.ndarray, " rows"]
    checked: Int[np.ndarray, " checked"]
    actual: Float[np.ndarray, " checked"]

    @property
    def correlation(self) -> float:
        """Between what was predicted and what came, over the examples that were left out."""
        return float(np.corrcoef(self.predicted[self.checked], self.actual)[0, 1])


def load_images(rows: int) -> tuple[Dataset, Dataset]:
    """`rows` of scikit-learn's handwritten digits to train with, and 597 to test with."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits)).shuffle(jax.random.key(0))
    return data[:rows], data[1200:]


def fit(weights: Float[Array, " rows"], data: Dataset, steps: int) -> Result:
    """Train a network, with a weight for each example."""
    keys = jax.random.split(jax.random.key(1))
    network = FeedForward([Linear(data.x.shape[1], 30, key=keys[0]), jnp.tanh, Linear(30, CLASSES, key=keys[1])])
    params = Params(
        steps,
        learning_rate=0.2,
        momentum=Nesterov(0.9),
        loss=CrossEntropyOnLinear(),
        regularization=L2Reg(1e-3),
        return_best=False,
        silent=True,
    )
    # The cross entropy is linear in the class probabilities, so these can carry the weight.
    weighted = data.one_hot(CLASSES).map_y(lambda y: y * weights[:, None].astype(y.dtype))
    return train(network, weighted, params)


def trace(rows: int, steps: int, num_checked: int) -> Sensitivities:
    """Differentiate the loss of the test image that the model is least sure of, and check some of the derivatives."""
    data, test = load_images(rows)
    ones = jnp.ones(rows)
    scores = jax.vmap(fit(ones, data, steps).w)(test.x)
    sorted_scores = jnp.sort(scores, axis=1)
    row = int(jnp.argmin(sorted_scores[:, -1] - sorted_scores[:, -2]))
    image, label = test[row]

    def test_loss(weights: Float[Array, " rows"], data: Dataset) -> Float[Array, ""]:
        return CrossEntropyOnLinear()(fit(weights, data, steps).w(image), label)

    loss, derivatives = jax.jit(jax.value_and_grad(test_loss))(ones, data)
    predicted = -np.asarray(derivatives)
    order = np.argsort(predicted)
    few = num_checked // 3
    others = np.random.default_rng(0).choice(order[few : len(order) - few], num_checked - 2 * few, replace=False)
    checked = np.concatenate([order[:few], others, order[len(order) - few :]])
    retrain = jax.jit(lambda rows, data: jax.lax.map(lambda row: test_loss(ones.at[row].set(0.0), data), rows))
    actual = np.asarray(retrain(jnp.asarray(checked), data)) - float(loss)
    return Sensitivities(data, image, int(label), int(jnp.argmax(scores[row])), float(loss), predicted, checked, actual)


def tell(result: Sensitivities) -> None:
    """Say what matters, and how well that was predicted."""
    rows, kind = len(result.predicted), "rightly" if result.guess == result.label else "wrongly"
    print(f"The test image that the model is least sure of is a {result.label}, {kind} taken for a {result.guess}.")
    print(
        f"Its loss is {result.loss:.4f}. One reverse pass says what it would be without each of {rows} training images."
    )
    order, labels = np.argsort(result.predicted), np.asarray(result.data.y)
    for kind, rows, change in (("helpful", order[: -SHOWN - 1 : -1], "rise"), ("harmful", order[:SHOWN], "fall")):
        digits, size = " ".join(map(str, labels[rows])), abs(result.predicted[rows[0]])
        print(f"  The most {kind} are {digits}; without the first the loss would {change} by {size:.4f}.")
    print(f"Trained again without each of {len(result.checked)} of them, the network agrees:")
    print(f"  the correlation of predicted and actual changes is {result.correlation:.4f}.")


def draw(result: Sensitivities, out: Path) -> None:
    """Draw the test image, the training images that matter most, and predicted against actual changes into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(13, 4), layout="constrained")
    left, middle, right = np.asarray(figure.subfigures(1, 3, width_ratios=(2, 6, 4)))
    side = int(result.image.shape[0] ** 0.5)

    def show(axes, image: Array, title: str) -> None:
        axes.imshow(np.asarray(image).reshape(side, side), cmap="gray_r")
        axes.set(title=title, xticks=[], yticks=[])

    show(left.subplots(), result.image, f"test image: a {result.label},\ntaken for a {result.guess}")
    order, grid = np.argsort(result.predicted), middle.subplots(2, SHOWN)
    for axes, rows, name in zip(grid, (order[::-1], order), ("most helpful", "most harmful"), strict=True):
        for each, row in zip(axes, rows, strict=False):
            show(each, result.data.x[row], f"a {result.data.y[row]}: {result.predicted[row]:+.2g}")
        axes[0].set_ylabel(name)
    middle.suptitle("training images, and how the test loss changes without them")
    axes = right.subplots()
    predicted = result.predicted[result.checked]
    ends = [predicted.min(), predicted.max()]
    axes.plot(ends, ends, color="tab:gray", linewidth=1, label="equal")
    axes.plot(predicted, result.actual, "o", markersize=4, color="tab:red", label="one training image left out")
    axes.set(
        title=f"change of the test loss: correlation {result.correlation:.3f}",
        xlabel="predicted by the derivative",
        ylabel="after training again",
    )
    axes.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Sensitivities:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="training images, at most 1200 (default 1000)")
    parser.add_argument("--steps", type=int, default=100, help="steps of a training (default 100)")
    parser.add_argument("--checked", type=int, default=60, help="examples to leave out (default 60)")
    parser.add_argument("--out", type=Path, default=Path("out/training_sensitivities.png"), help="for the picture")
    options = parser.parse_args(argv)
    result = trace(options.rows, options.steps, options.checked)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
