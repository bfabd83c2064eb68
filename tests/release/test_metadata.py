"""Versions, changelogs, licenses and requirements of the four packages agree."""

import re

import pytest
from packaging.requirements import Requirement

from .packages import BY_NAME, EACH, PACKAGES, ROOT


@pytest.mark.parametrize("package", **EACH)
def test_the_changelog_begins_with_the_version(package):
    assert re.fullmatch(rf"{re.escape(package.version)}( \(\d{{4}}-\d{{2}}-\d{{2}}\))?", package.latest)


@pytest.mark.parametrize("package", **EACH)
def test_the_license_is_that_of_the_repository(package):
    assert (package.folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("package", **EACH)
def test_packages_admit_each_other_as_they_are_here(package):
    for need in map(Requirement, package.project["dependencies"]):
        if need.name in BY_NAME:
            version = BY_NAME[need.name].version
            series = version.rpartition(".")[0].split(".")
            above = f"{series[0]}.{int(series[1]) + 1}"
            assert need.specifier.contains(version)
            assert not need.specifier.contains(above), f"{need} must end below {above}, which may break it"


def test_packages_agree_on_pythons_and_third_parties():
    assert len({package.project["requires-python"] for package in PACKAGES}) == 1
    assert len({tuple(package.project["classifiers"]) for package in PACKAGES}) == 1
    needs = {need for package in PACKAGES for need in package.project["dependencies"]}
    assert len(needs) == len({Requirement(need).name for need in needs})


def test_the_lowest_python_is_the_first_classifier():
    project = PACKAGES[0].project
    versions = [found[1] for word in project["classifiers"] if (found := re.search(r":: (3\.\d+)$", word))]
    assert project["requires-python"] == f">={versions[0]}"


def test_the_citation_names_the_newest_version():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M)[1]
    newest = max((package.version for package in PACKAGES), key=lambda version: [int(n) for n in version.split(".")])
    assert cited == newest
