"""A public name in backticks leads to its place in the reference."""

import importlib
import re
from functools import cache
from typing import Any

import jax
from mkdocs.structure.pages import Page

PACKAGES = ["hype_ad", "hype_optim", "hype_neural", "hype_mcmc"]

# Elsewhere `grad` and `exp` may be JAX's.
OF_HYPE_AD = re.compile(r"hype-ad|derivative-operators|from-hype|reference/ad/")

# What links already, or may not, is passed over whole.
PASSED = r"<h\d.*?</h\d>|<pre.*?</pre>|<a .*?</a>|<autoref .*?</autoref>"
CODE = r"<code>(?P<text>(?:(?P<package>hype_\w+)\.)?(?P<name>[A-Za-z]\w*)(?:\([^<>]*\))?)</code>"
NAME = re.compile(f"{PASSED}|{CODE}", re.S)


def on_page_content(content: str, page: Page, **_: Any) -> str:
    """Makes the links of a page."""
    all_ours = bool(OF_HYPE_AD.search(page.file.src_uri))

    def linked(match: re.Match[str]) -> str:
        name, package = match["name"], match["package"]
        places = [place for place in _places().get(name, []) if not package or place.startswith(f"{package}.")]
        if len(places) != 1 or not (package or all_ours or _is_ours(name)):
            return match[0]
        return f'<autoref identifier="{places[0]}" optional><code>{match["text"]}</code></autoref>'

    return NAME.sub(linked, content)


def _is_ours(name: str) -> bool:
    """Whether JAX has nothing of that name."""
    return not any(hasattr(of_jax, name) for of_jax in (jax, jax.numpy, jax.nn, jax.numpy.linalg))


@cache
def _places() -> dict[str, list[str]]:
    """Where each name is defined, package by package."""
    places: dict[str, list[str]] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            home = getattr(getattr(module, name), "__module__", None) or package
            if home.partition(".")[0] == package:
                places.setdefault(name, []).append(f"{package}.{name}")
    return places
