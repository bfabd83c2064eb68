"""Links from a page to a file of the repository, such as an example, lead to a page that shows the file."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

LINK = re.compile(r"\]\((?P<path>(?:\.\./)+[\w./-]+\.(?:py|toml|cff|json))\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each file that some page links to."""
    for page in list(files.documentation_pages()):
        for path in sorted(_outside(page.src_uri, page.content_string, config)):
            if files.get_file_from_path(shown := f"source/{path}.md") is None:
                files.append(_page(shown, path, config))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Turns the links to those pages."""
    here = page.file.src_uri
    outside = _outside(here, markdown, config)

    def turned(match: re.Match[str]) -> str:
        path = _target(here, match["path"])
        if path not in outside:
            return match[0]
        return f"]({posixpath.relpath(f'source/{path}.md', posixpath.dirname(here))})"

    return LINK.sub(turned, markdown)


def _outside(page: str, markdown: str, config: MkDocsConfig) -> set[str]:
    """The files outside of `docs` that a page links to, from the root of the repository."""
    root = Path(config.docs_dir).parent
    paths = {_target(page, match["path"]) for match in LINK.finditer(markdown)}
    return {path for path in paths if not path.startswith("docs/") and (root / path).is_file()}


def _target(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))


def _page(shown: str, path: str, config: MkDocsConfig) -> File:
    text = (Path(config.docs_dir).parent / path).read_text()
    language = {".py": "python"}.get(Path(path).suffix, "text")
    # Fences of more backticks than a docstring has.
    content = f"---\nsearch:\n  exclude: true\n---\n\n# {path}\n\n`````{language}\n{text}`````\n"
    return File.generated(config, shown, content=content, inclusion=InclusionLevel.NOT_IN_NAV)
