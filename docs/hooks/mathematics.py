"""Formulas become MathML while the site is built, so that a page shows them without a script or a network.

The font is STIX Two Math, cut to the characters that formulas may have. It comes in the wheel of ziamath.
"""

import html
import io
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from fontTools import subset
from fontTools.ttLib import TTFont
from math_core import LatexToMathML
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

INLINE = r'<span class="arithmatex">\\\((?P<inline>.*?)\\\)</span>'
DISPLAY = r'<div class="arithmatex">\s*\\\[(?P<display>.*?)\\\]\s*</div>'
FORMULA = re.compile(f"{INLINE}|{DISPLAY}", re.S)
FONT = "assets/STIXTwoMath.woff2"
CHARACTERS = [*range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x300, 0x400), *range(0x2000, 0x2070)]
CHARACTERS += [*range(0x20D0, 0x22FF), *range(0x2300, 0x23E2), *range(0x27E6, 0x27F0), *range(0x1D400, 0x1D800)]

_latex = LatexToMathML()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the font."""
    files.append(File.generated(config, FONT, content=_font()))
    return files


def on_page_content(content: str, **_: Any) -> str:
    """Replaces the formulas of a page."""
    return FORMULA.sub(_mathml, content)


def _mathml(match: re.Match[str]) -> str:
    inline, display = match["inline"], match["display"]
    formula = html.unescape(display if inline is None else inline)
    return _latex.convert_with_local_state(formula, displaystyle=inline is None)


def _font() -> bytes:
    of_wheel = distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf")  # an import would warn
    font = TTFont(Path(of_wheel))
    cutter = subset.Subsetter()
    cutter.populate(unicodes=CHARACTERS)
    cutter.subset(font)
    font.flavor = "woff2"
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()
