"""What the quantities of a position and their numbers are called."""

from collections import Counter
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree


def named(tree: PyTree[Any], bare: str = "x", axes: int = 2) -> dict[str, np.ndarray]:
    """The leaves by their paths, `bare` where there is only one leaf without a path; labels leave out so many axes.

    A path is written `a.b`, or `['a']['b']` where another leaf would have the same name or label.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    short = [jax.tree_util.keystr(path, simple=True, separator=".") or bare for path, _ in leaves]
    uses = [{name, *labels_of(name, np.shape(leaf)[axes:])} for name, (_, leaf) in zip(short, leaves, strict=True)]
    count = Counter(label for labels in uses for label in labels)
    return {
        name if max(map(count.__getitem__, labels)) == 1 else jax.tree_util.keystr(path): np.asarray(leaf)
        for name, labels, (path, leaf) in zip(short, uses, leaves, strict=True)
    }


def labels_of(name: str, shape: tuple[int, ...]) -> list[str]:
    """What the numbers of a leaf are called: `beta[0, 1]`."""
    return [f"{name}[{', '.join(map(str, index))}]" if index else name for index in np.ndindex(shape)]
