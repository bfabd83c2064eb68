"""How the tests run an example: small, as a user has JAX set up, with its picture in a folder of the test."""

import importlib.util
import sys
from pathlib import Path

import jax
import matplotlib.image

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name):
    """The module of an example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name, tmp_path, *arguments):
    """An example's result, once it has drawn its picture."""
    picture = tmp_path / "picture.png"
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        result = example(name).main([*map(str, arguments), "--out", str(picture)])
    assert matplotlib.image.imread(picture).std() > 0.05  # something is drawn
    return result


def call(name, tmp_path, **sizes):
    """The same of an example whose `main` takes its sizes by name."""
    picture = tmp_path / "new folder" / "picture.png"
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        result = example(name).main(**sizes, out=str(picture))
    assert matplotlib.image.imread(picture).std() > 0.05
    return result
