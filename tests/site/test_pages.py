"""What each page of the built site must have, read from its HTML."""

import importlib
import inspect
import posixpath
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

from ..public_names import MODULES, public_names

LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("object", "data")}


class Page(HTMLParser):
    """The parts of a page that the tests look at."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.images, self.links, self.loaded, self.anchors = [], [], [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.images.append(attributes)
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        self.loaded += [
            value for name, value in attrs if (tag, name) in LOADED and attributes.get("rel") != "canonical"
        ]
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}


@pytest.fixture(scope="module")
def read(pages):
    return {name: Page(text) for name, text in pages.items()}


def test_links_lead_somewhere(read, site):
    dead = []
    for name, page in read.items():
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or name == "404.html":
                continue
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(to.path))) if to.path else name
            there = (site / path).is_file() and (not to.fragment or unquote(to.fragment) in read[path].anchors)
            dead += [] if there else [(name, link)]
    assert dead == []


def test_nothing_is_loaded_from_another_host(read):
    assert [(name, at) for name, page in read.items() for at in page.loaded if urlsplit(at).netloc] == []


def test_headings_are_in_order(read):
    for name, page in read.items():
        assert page.headings.count(1) == 1, name
        assert page.headings[0] == 1, name
        assert all(b <= a + 1 for a, b in zip(page.headings, page.headings[1:], strict=False)), name


def test_images_have_alternative_texts(read):
    assert [(name, image) for name, page in read.items() for image in page.images if not image.get("alt")] == []


def test_references_are_resolved(pages):
    assert [name for name, text in pages.items() if "<autoref" in text or "::: hype" in text] == []


def test_formulas_are_mathml(pages):
    assert not [name for name, text in pages.items() if "arithmatex" in text]
    assert "<math" in pages["reference/optim/losses.html"]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_shown(read, module):
    shown = set().union(*(page.anchors for path, page in read.items() if path.startswith("reference/")))
    assert [name for name in public_names(module) if f"{module}.{name}" not in shown] == []


@pytest.mark.parametrize("module", sorted({*MODULES} - {"hype_ad.numerical"}))  # whose functions one function makes
def test_classes_and_functions_show_their_source(pages, module):
    entries = [e for path, text in pages.items() if "reference/" in path for e in re.split('(?=<h3 id="hype)', text)]
    shown = {entry[len('<h3 id="') :].partition('"')[0] for entry in entries if "Source code in" in entry}
    loaded = importlib.import_module(module)
    things = {name: getattr(loaded, name) for name in public_names(module)}
    written = {name: thing for name, thing in things.items() if inspect.isclass(thing) or inspect.isfunction(thing)}
    own = {
        f"{module}.{n}" for n, thing in written.items() if thing.__module__.startswith(module) and thing.__name__ == n
    }
    assert own - shown == set()  # and what has another home, or another name, is shown there
