"""The built site in a browser: search, figures, formulas, widths, colors, and how long a page takes."""

import pytest

from ..public_names import MODULES, public_names
from .contrast import TOO_FAINT

SEEN = [  # the pages that pictures are taken of
    "index.html",
    "quickstart.html",
    "choose.html",
    "gallery.html",
    "hypergradients.html",
    "measured.html",
    "migration/optax.html",
    "reference/optim/losses.html",
    "reference/mcmc/kernels.html",
    "reference/formulas.html",
]
SLOWEST = ["index.html", "gallery.html", "reference/mcmc/kernels.html", "reference/ad/products.html", "mcmc.html"]


@pytest.fixture(params=["served", "from disk"])
def root(request, site, address):
    return address if request.param == "served" else f"file://{site}"


def written(pages):
    """The pages but those that show a source, which are all alike, and the one that only a server shows."""
    return [page for page in pages if not page.startswith("source/") and page != "404.html"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("minimize", "reference/optim/running.html#hype_optim.minimize"),
        ("tune", "reference/optim/tuning.html#hype_optim.tune"),
        ("check_hypergradient", "reference/optim/trust.html#hype_optim.check_hypergradient"),
        ("hypergradient", "hypergradients.html"),
        ("mimimize", "reference/optim/running.html#hype_optim.minimize"),
        ("hypergradeint", "hypergradients.html"),
    ],
)
def test_search(reader, root, text, place):
    reader.open(f"{root}/index.html")
    assert f"{root}/{place}" in reader.search(text)


def test_search_finds_every_public_name(reader, address):
    reader.open(f"{address}/index.html")
    names = [(module, name) for module in MODULES for name in public_names(module)]
    found = reader.search_for_each([name for _, name in names])
    missing = []
    for (module, name), pages in zip(names, found, strict=True):
        rank = [any(place.endswith(f"#{module}.{name}") for place in sections) for sections in pages]
        missing += [] if any(rank) else [f"{module}.{name}"]
    assert missing == []


def test_pages_load_whole_and_alone(reader, root, pages):
    broken = "return [...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.src)"
    for page in written(pages):
        reader.open(f"{root}/{page}")
        assert reader.run(broken) == [], page
    console, asked = reader.what_was_logged()
    assert console == []
    assert {at for at in asked if not at.startswith((root, "data:", "about:"))} == set()


@pytest.mark.parametrize("page", SLOWEST)
def test_pages_load_within_a_second_from_disk(reader, site, page):
    took = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
    times = []
    for _ in range(3):  # other programs may take the processor
        reader.open(f"file://{site}/{page}")
        times.append(reader.wait(lambda: reader.run(took), "the page does not end to load"))
    assert min(times) < 1000


def test_formulas_have_their_font(reader, root):
    reader.open(f"{root}/differentiable-inference.html")
    fonts = "return document.fonts.ready.then(() => [...document.fonts].map(f => [f.family, f.status]))"
    assert ["STIX Two Math", "loaded"] in [[family.strip('"'), status] for family, status in reader.run(fonts)]
    assert reader.run("return document.querySelector('mfrac').getBoundingClientRect().height") > 20


def test_a_phone_scrolls_down_only(reader, address, pages):
    reader.look(375, 800, "light")
    wide = []
    for page in written(pages):
        reader.open(f"{address}/{page}")
        width = reader.run("return document.documentElement.scrollWidth")
        wide += [(page, width)] if width > 375 else []
    assert wide == []


def test_faint_text_is_found(reader, address):
    reader.open(f"{address}/index.html")
    reader.run("document.querySelector('h1').style.color = '#999'")
    assert len(reader.run(TOO_FAINT)) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", SEEN)
def test_contrast(reader, address, page, scheme):
    reader.look(1280, 900, scheme)
    reader.open(f"{address}/{page}")
    own, chosen = {"light": "default", "dark": "slate"}[scheme], "return document.body.dataset.mdColorScheme"
    reader.wait(lambda: reader.run(chosen) == own, f"the page is not {scheme}")  # its script chooses
    assert reader.run(TOO_FAINT) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_pictures_to_look_at(reader, address, pictures, width, scheme):
    reader.look(width, 1200, scheme)
    for page in SEEN:
        reader.open(f"{address}/{page}")
        reader.picture(pictures / f"{page.replace('/', '-').removesuffix('.html')}-{width}-{scheme}.png")
    assert len(list(pictures.glob(f"*-{width}-{scheme}.png"))) == len(SEEN)
