"""The pages of docs/migration/: a program of another library and ours beside it give the same numbers."""

import re
from typing import NamedTuple

import jax
import numpy as np
import pytest

from .test_docs import PAGES, run_blocks

THEIRS = re.compile(r"^```py\n(.*?)^```$", re.S | re.M)


class Page(NamedTuple):
    """What the program of a library gave, run as the page has it: in double precision, where it can be."""

    name: str
    versions: str
    modules: tuple[str, ...]
    numbers: list[float]
    rtol: float = 1e-6
    double: bool = True


PAGES_OF_LIBRARIES = [
    Page("optax", "optax 0.2.8, jax 0.10.2", ("optax",), [0.05249429, 0.03020774]),
    # Its solution is as exact as its tolerance.
    Page("jaxopt", "jaxopt 0.8.5, jax 0.10.2", ("jaxopt",), [-0.55813903, -0.36795110], rtol=1e-5),
    Page("optimistix", "optimistix 0.1.0, jax 0.10.2", ("optimistix",), [0.002606361, -0.003088231, 0.753736141]),
    # Monte Carlo estimates, with random numbers of their own.
    Page("blackjax", "blackjax 1.7.1, jax 0.10.2", ("blackjax",), [1.252319694, 0.469418533, -0.028735165], rtol=0.03),
    # What a search finds is near the best; how near is a matter of trials.
    Page("optuna", "optuna 5.0.0, jax 0.10.2", ("optuna",), [0.118453537, 0.314629123], rtol=0.1),
    Page(
        "torchopt",
        "torchopt 0.7.3, torch 2.13.0",
        ("torch", "torchopt"),
        [-0.117878371, -0.164413893, -0.000311660, 0.058599383],
    ),
    Page("higher", "higher 0.2.1, torch 2.13.0", ("torch", "higher"), [0.356000210, 0.181593667]),
    Page(
        "betty",
        "betty-ml 0.2.1, torch 2.13.0",
        ("torch", "betty"),
        [-0.098476082, -0.067673219, 0.259595106, -0.046139134, -0.025311314, -0.021995357],
    ),
    Page(
        "learned_optimization",
        "learned_optimization at 32186aa, jax 0.10.2",
        ("learned_optimization",),
        [-4.01228, -0.5018395],
        rtol=2e-6,
        double=False,
    ),
]


def check(numbers, page):
    # They are recorded to nine digits.
    np.testing.assert_allclose(numbers, page.numbers, page.rtol, 1e-9, err_msg=f"not what {page.versions} gave")


@pytest.fixture(params=PAGES_OF_LIBRARIES, ids=lambda page: page.name)
def page(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # programs may write files
    return request.param


def test_ours(page):
    with jax.numpy_rank_promotion("allow"):
        ours = run_blocks(f"migration/{page.name}.md")["ours"]
    check(ours, page)


@pytest.mark.filterwarnings("ignore")  # libraries that are no longer kept up have many
def test_theirs(page, request):
    modules = [pytest.importorskip(module) for module in page.modules]
    if page.modules[0] == "torch":
        set_default_dtype = modules[0].set_default_dtype
        set_default_dtype(modules[0].float64)
        request.addfinalizer(lambda: set_default_dtype(modules[0].float32))
    (program,) = THEIRS.findall(PAGES[f"migration/{page.name}.md"])
    names = {"__name__": page.name}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), jax.enable_x64(page.double):
        exec(program, names)
        check([float(number) for number in names["theirs"]], page)


def test_every_page_is_held():
    assert {f"migration/{page.name}.md" for page in PAGES_OF_LIBRARIES} | {"migration/README.md"} == {
        name for name in PAGES if name.startswith("migration/")
    }
