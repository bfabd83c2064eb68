"""The built files in dist/ hold what they should; `nox -s build` runs this after building them."""

import email
import re
import tarfile
import zipfile

import pytest
from packaging.requirements import Requirement

from .packages import EACH, ROOT

DIST = ROOT / "dist"
AGAIN = ROOT / "build"  # wheels that were built without an sdist between


def stem(package):
    return f"{package.module}-{package.version}"


@pytest.fixture
def wheel(package):
    with zipfile.ZipFile(DIST / f"{stem(package)}-py3-none-any.whl") as file:
        yield file


@pytest.fixture
def metadata(package, wheel):
    return email.message_from_bytes(wheel.read(f"{stem(package)}.dist-info/METADATA"))


@pytest.mark.parametrize("package", **EACH)
def test_a_wheel_holds_the_source_and_nothing_else(package, wheel):
    source = package.folder / "src"
    wanted = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.suffix in (".py", ".pyi")}
    wanted.add(f"{package.module}/py.typed")
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == wanted
    assert wheel.read(f"{stem(package)}.dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("package", **EACH)
def test_a_source_distribution_builds_the_same_wheel(package, wheel):
    built = AGAIN / f"{stem(package)}-py3-none-any.whl"
    assert built.read_bytes() == (DIST / built.name).read_bytes()  # made from the sdist
    with tarfile.open(DIST / f"{stem(package)}.tar.gz") as file:
        names = {name.removeprefix(f"{stem(package)}/") for name in file.getnames()}
    outside = {name for name in names if not name.startswith("src/")}
    assert outside == {"PKG-INFO", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore"}
    assert {name.removeprefix("src/") for name in names - outside} == {
        name for name in wheel.namelist() if ".dist-info/" not in name
    }


@pytest.mark.parametrize("package", **EACH)
def test_metadata_says_what_pyproject_says(package, metadata):
    project = package.project
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == project["requires-python"]
    assert set(metadata.get_all("Classifier")) == set(project["classifiers"])
    assert {url.split(", ")[0] for url in metadata.get_all("Project-URL")} >= {"Repository", "Changelog"}
    needs = [Requirement(need) for need in metadata.get_all("Requires-Dist")]
    assert {str(need) for need in needs if need.marker is None} == {
        str(Requirement(need)) for need in project["dependencies"]
    }


@pytest.mark.parametrize("package", **EACH)
def test_the_description_has_no_link_that_leads_nowhere_outside_of_the_repository(package, metadata):
    prose = re.sub(r"```.*?```|`[^`]*`", "", metadata.get_payload(), flags=re.S)
    targets = re.findall(r"\]\(([^)]+)\)", prose)
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []
