"""A public name in backticks leads to its place in the reference."""

import importlib
import re
from functools import cache
from typing import Any

PACKAGES = ["hype_ad", "hype_optim", "hype_neural", "hype_mcmc"]

# What links already, or may not, is passed over whole.
PASSED = r"<h\d.*?</h\d>|<pre.*?</pre>|<a .*?</a>|<autoref .*?</autoref>"
NAME = re.compile(rf"{PASSED}|<code>(?P<text>(?:(?P<package>hype_\w+)\.)?(?P<name>[A-Za-z]\w*)(?:\(.*?\))?)</code>", re.S)


def on_page_content(content: str, **_: Any) -> str:
    """Makes the links of a page."""
    return NAME.sub(_linked, content)


def _linked(match: re.Match[str]) -> str:
    places = _places().get(match["name"], [])
    if match["package"]:
        places = [place for place in places if place == f"{match['package']}.{match['name']}"]
    if len(places) != 1:
        return match[0]
    return f'<autoref identifier="{places[0]}" optional><code>{match["text"]}</code></autoref>'


@cache
def _places() -> dict[str, list[str]]:
    """Where each name is defined, package by package."""
    places: dict[str, list[str]] = {}
    for package in PACKAGES:
        for name, thing in vars(importlib.import_module(package)).items():
            home = getattr(thing, "__module__", None) or package
            if not name.startswith("_") and home.partition(".")[0] == package:
                places.setdefault(name, []).append(f"{package}.{name}")
    return places
