"""What the READMEs and CONTRIBUTING.md point at is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("packages/*/README.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose)
    assert targets
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", [*PAGES[:2], ROOT / "docs" / "releasing.md"], ids=lambda page: page.name)
def test_commands_name_sessions_that_there_are(page):
    sessions = set(re.findall(r"^@nox\.session.*?^def (\w+)", (ROOT / "noxfile.py").read_text(), re.S | re.M))
    named = re.findall(r"nox -s ((?:[a-z]+\b ?)+)", page.read_text())
    assert named
    assert {word for words in named for word in words.split()} - sessions == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_of_packages_are_those_of_packages(page):
    paths = re.findall(r"\./packages/([\w-]+)", page.read_text())
    assert [path for path in paths if not (ROOT / "packages" / path / "pyproject.toml").exists()] == []
