"""A package may be uploaded; `nox -s build -- NAME ...` runs this before building the files of a release."""

import os
import re
import subprocess

import pytest

from .packages import BY_NAME, PLACEHOLDER, ROOT

NAMES = os.environ["HYPE_RELEASE"].split()


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")


@pytest.mark.parametrize("name", NAMES)
def test_the_addresses_are_real(name):
    assert PLACEHOLDER not in (BY_NAME[name].folder / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_changelog_has_the_day_of_the_release(name):
    assert re.search(r" \(\d{4}-\d{2}-\d{2}\)$", BY_NAME[name].latest)


@pytest.mark.parametrize("name", NAMES)
def test_the_commit_has_the_tag_of_the_version(name):
    assert f"{name}-v{BY_NAME[name].version}" in git("tag", "--points-at", "HEAD")


def test_everything_is_committed():
    assert git("status", "--porcelain") == [""]
