"""A language model that learns the opening of the Aeneid by heart.

The text is that of `aeneid.txt` beside this file: the first 18 lines of Virgil's Aeneid in John Dryden's translation
of 1697, which is in the public domain. The model reads a word at a time and says how probable each word of the
vocabulary is to be the next: a linear map of one-hot words to 20 numbers, an LSTM of 100 cells, and a linear map to
the vocabulary. The whole text is one sequence, so an epoch is one step of RMSProp. Before anything is learned the
cross entropy is the logarithm of the size of the vocabulary; in the end almost every word is known from those before.

    python examples/aeneid.py
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from hype_neural import LSTM, FeedForward, Language, Linear, LinearNoBias, summary
from hype_optim import CrossEntropyOnLinear, NoReg, Params, Result, RMSProp

TEXT = Path(__file__).with_name("aeneid.txt").read_text()


class Learned(NamedTuple):
    """What was learned, and on the way what the model had to say.

    Attributes:
        language: the vocabulary.
        parts: a result for each part of the training, one going on from the other.
        samples: a text drawn from the model before the first part and after each.
    """

    language: Language
    parts: list[Result]
    samples: list[str]

    @property
    def losses(self) -> np.ndarray:
        """The cross entropy at each epoch."""
        return np.concatenate([part.loss_history for part in self.parts])


def learn(epochs: int, parts: int, cells: int, seed: int) -> Learned:
    """Train in parts, and draw a text in between."""
    language = Language(TEXT)
    data = language.examples(TEXT)
    keys = jax.random.split(jax.random.key(seed), 3)
    model = FeedForward(
        [
            LinearNoBias(len(language), 20, key=keys[0]),
            LSTM(20, cells, key=keys[1]),
            Linear(cells, len(language), key=keys[2]),
        ]
    )
    params = Params(
        epochs // parts,
        learning_rate=RMSProp(0.01, 0.9),
        loss=CrossEntropyOnLinear(),
        regularization=NoReg(),
        silent=True,
    )

    def speak(model: FeedForward) -> str:
        text = language.sample(model, "Arms", key=keys[2], max_length=40, stop=".", temperature=0.5)
        print(f"  {text}\n")
        return text

    print(f"The opening of the Aeneid: {data.y.size + 1} words and marks, {len(language)} of them different.\n")
    print(summary(model, data.x.shape[1:]))
    print(f"\nThe logarithm of the size of the vocabulary is {math.log(len(language)):.3f}. Before training:")
    results: list[Result] = []
    samples = [speak(model)]
    for _ in range(parts):
        result = model.train(data, params, state=results[-1].state if results else None)
        results.append(result)
        print(f"After {int(result.steps)} epochs the cross entropy is {result.loss:.3f}:")
        samples.append(speak(result.w))
    predicted = np.asarray(jax.vmap(results[-1].w)(data.x)).argmax(-1)
    right = np.mean(predicted == np.asarray(data.y))
    print(f"{right:.1%} of the words are those that the model finds the most probable.")
    return Learned(language, results, samples)


def draw(learned: Learned, out: Path) -> None:
    """Draw the cross entropy, and the probabilities of the words of the text, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (losses, words) = plt.subplots(1, 2, figsize=(13, 4), layout="constrained", width_ratios=(2, 3))
    losses.plot(learned.losses, color="tab:red")
    losses.axhline(math.log(len(learned.language)), color="tab:gray", linestyle="--", label="all words alike")
    losses.axhline(0.15, color="tab:gray", linestyle=":", label="0.15")
    losses.set(title="cross entropy of the next word", xlabel="epoch", yscale="log")
    losses.legend()
    data = learned.language.examples(TEXT)
    rows = []
    for part in learned.parts:
        probabilities = jax.nn.softmax(jax.vmap(part.w)(data.x))[0]
        rows.append(np.take_along_axis(np.asarray(probabilities), np.asarray(data.y[0])[:, None], 1)[:, 0])
    image = words.imshow(rows, aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    words.set(title="probability that the model gives to the word that comes", xlabel="place in the text")
    words.set_yticks(range(len(rows)), [f"epoch {int(part.steps)}" for part in learned.parts])
    figure.colorbar(image, ax=words)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Learned:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=150, help="epochs in all (default 150)")
    parser.add_argument("--parts", type=int, default=5, help="parts of the training, with a text after each")
    parser.add_argument("--cells", type=int, default=100, help="cells of the LSTM (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="draws the weights and the texts")
    parser.add_argument("--out", type=Path, default=Path("out/aeneid.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    for name in ("parts", "cells"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    if options.epochs % options.parts or options.epochs < 1:
        parser.error(f"--epochs must be a multiple of --parts, got {options.epochs} and {options.parts}")
    learned = learn(options.epochs, options.parts, options.cells, options.seed)
    draw(learned, options.out)
    return learned


if __name__ == "__main__":
    main()
