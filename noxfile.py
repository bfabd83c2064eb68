"""The shell around the code: `nox -l` lists what there is to do."""

import pathlib
import shutil

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # also in CI: a session for a Python that is absent is skipped
nox.options.sessions = ["lint", "types", "tests", "alone", "together"]

ROOT = pathlib.Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PACKAGES = sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))
PYTHONS = nox.project.python_versions(nox.project.load_toml(ROOT / "packages/hype-ad/pyproject.toml"))

# JAX's cache of compiled programs is off: writing it costs a tenth of a first run, and only a second one gains.
ENVIRONMENT = {
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # nobody reads which line of Python made which operation
    "PYTHONDONTWRITEBYTECODE": None,  # where it is set, each worker would compile all that it imports, JAX and all
}

# Each worker runs whole files, whose fixtures it compiles once, until one of them has none left.
WORKERS = ("-n", "2", "--dist", "worksteal")

# Shapes and types of all arguments are checked. It is a sixth of the tests' time, so it has a session of its own.
CHECKED = f"--jaxtyping-packages={','.join(name.replace('-', '_') for name in PACKAGES)},conftest.checked"

# The slow tests and those that must be compiled as users compile have other sessions.
QUICK = "not slow and not bitwise"

# The site names defaults of signatures, for which its builder imports JAX; and it does not advertise.
SITE = {"JAX_PLATFORMS": "cpu", "NO_MKDOCS_2_WARNING": "1"}

# Imports a package and every module in it.
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""


def group(name: str) -> list[str]:
    """The requirements of a dependency group of the workspace."""
    return nox.project.dependency_groups(PYPROJECT, name)


def below(package: str) -> list[str]:
    """A package and those of ours that it stands on, itself last."""
    needs = nox.project.load_toml(ROOT / "packages" / package / "pyproject.toml")["project"]["dependencies"]
    ours = [other for other in PACKAGES if any(need.startswith(f"{other}>") for need in needs)]
    return list(dict.fromkeys([name for other in ours for name in below(other)] + [package]))


def install(session: nox.Session, *requirements: str) -> None:
    """Install the four packages, editable, and what else is asked for."""
    editable = [word for package in PACKAGES for word in ("-e", f"packages/{package}")]
    session.install(*editable, *requirements)


def compiled_quickly(session: nox.Session) -> dict[str, str | None]:
    """The environment of tests.

    A test runs what it compiles a few times, so LLVM need not optimize it, nor split it for threads that two workers do
    not have; `alone` compiles as users do.
    """
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    flags += " --xla_cpu_parallel_codegen_split_count=1 --xla_cpu_enable_concurrency_optimized_scheduler=false"
    version = session.run(
        "python", "-c", "from importlib.metadata import version; print(version('jaxlib'))", silent=True
    )
    if version.startswith("0.10."):  # a later one has no other emitters, and aborts on a flag that it does not know
        flags += " --xla_cpu_use_fusion_emitters=false"
    return ENVIRONMENT | {"XLA_FLAGS": flags}


def pytest(session: nox.Session, *arguments: str) -> None:
    """Run tests, compiled quickly."""
    session.run("pytest", *WORKERS, *arguments, *session.posargs, env=compiled_quickly(session))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests of the packages, but those with sessions of their own: slow and bitwise."""
    install(session, *group("tests"), *group("examples"))
    pytest(session, "-m", QUICK, "-o", "testpaths=packages")


@nox.session(python=PYTHONS)
def together(session: nox.Session) -> None:
    """What composes the packages: costs, own parts, every example, small, and the Python of the pages."""
    install(session, *group("tests"), *group("examples"))
    pytest(session, "-m", QUICK, "-o", "testpaths=tests")


@nox.session(python=PYTHONS[0])
def checked(session: nox.Session) -> None:
    """The quick tests, with all annotations of shapes and types held at run time."""
    install(session, *group("tests"), *group("examples"))
    pytest(session, CHECKED, "-m", QUICK, "--ignore=tests/examples")


@nox.session
def alone(session: nox.Session) -> None:
    """Each package with only what is below it, from wheels: each module imports, smoke and bitwise tests pass."""
    dist = pathlib.Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    for name in PACKAGES:
        session.run("uv", "build", "--wheel", "-q", "--out-dir", str(dist), f"packages/{name}", external=True)
    upwards = sorted(PACKAGES, key=lambda package: len(below(package)))
    for package in upwards:  # before the tests' tools hide what is missing
        _install_only(session, package, dist)
        session.run("python", "-c", IMPORT_ALL, package.replace("-", "_"), env=ENVIRONMENT)
    session.install(*group("tests"))
    for package in upwards:
        _install_only(session, package, dist)
        tests = ("-m", "(smoke or bitwise) and not slow", f"packages/{package}/tests")
        session.run("pytest", *WORKERS, *tests, *session.posargs, env=ENVIRONMENT)


def _install_only(session: nox.Session, package: str, dist: pathlib.Path) -> None:
    """Install a package and what is below it from wheels, and none of the others."""
    session.run("uv", "pip", "uninstall", "-q", *PACKAGES, external=True, silent=True)
    session.install(*[str(next(dist.glob(f"{name.replace('-', '_')}-*.whl"))) for name in below(package)])


@nox.session
def build(session: nox.Session) -> None:
    """The files of a release, in dist/, each checked; `-- hype-ad ...` checks also that these may be uploaded."""
    session.install(*group("build"))
    check = ("pytest", "-q", "--noconftest", "--override-ini=addopts=--import-mode=importlib")  # no JAX is needed
    if session.posargs:
        session.run(*check, "tests/release/check_ready.py", env={"HYPE_RELEASE": " ".join(session.posargs)})
    dist, again = ROOT / "dist", ROOT / "build"
    for folder in (dist, again):
        shutil.rmtree(folder, ignore_errors=True)
    for name in PACKAGES:
        session.run("uv", "build", "-q", "--out-dir", str(dist), f"packages/{name}", external=True)
        session.run("uv", "build", "-q", "--wheel", "--out-dir", str(again), f"packages/{name}", external=True)
    session.run("twine", "check", "--strict", *map(str, sorted([*dist.glob("*.whl"), *dist.glob("*.tar.gz")])))
    session.run("cffconvert", "--validate")
    session.run(*check, "tests/release/check_files.py")
    for name in PACKAGES:
        _install_alone(session, name, dist)


def _install_alone(session: nox.Session, package: str, dist: pathlib.Path) -> None:
    """Install a package by its name from the built files, in a new environment, and import all of it."""
    python = str(pathlib.Path(session.create_tmp()) / package)
    session.run("uv", "venv", "-q", "--clear", "-p", session.python or "python", python, external=True)
    session.run("uv", "pip", "install", "-q", "-p", python, "--find-links", str(dist), package, external=True)
    session.run(f"{python}/bin/python", "-c", IMPORT_ALL, package.replace("-", "_"), external=True)
    found = session.run("uv", "pip", "list", "-q", "-p", python, "--format=freeze", external=True, silent=True)
    ours = sorted(line.split("==")[0] for line in found.splitlines() if line.split("==")[0] in PACKAGES)
    if ours != sorted(below(package)):
        session.error(f"{package} must bring {sorted(below(package))}, brought {ours}.")


@nox.session(python=PYTHONS[0])
def minimums(session: nox.Session) -> None:
    """All tests with the lowest versions that the packages accept, and with the tests' tools as they are now."""
    install(session, "--resolution=lowest-direct")
    lowest = pathlib.Path(session.create_tmp()) / "lowest.txt"
    frozen = session.run("uv", "pip", "freeze", "--quiet", "--exclude-editable", external=True, silent=True)
    lowest.write_text(frozen)
    session.install("-c", str(lowest), *group("tests"), *group("examples"))
    pytest(session, "-m", QUICK, "--ignore=tests/examples")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, unused and suspicious code."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Static types."""
    install(session, *group("types"))
    session.run("pyright", *session.posargs)


@nox.session
def notebooks(session: nox.Session) -> None:
    """The notebooks of docs/notebooks, run from top to bottom in a kernel; with their outputs in out/notebooks."""
    install(session, *group("notebooks"))
    check = ("pytest", "-n", "2", "--dist", "loadgroup", "--noconftest", "tests/notebooks/check_notebooks.py")
    session.run(*check, *session.posargs, env=compiled_quickly(session))


@nox.session
def thorough(session: nox.Session) -> None:
    """The slow tests: every method and penalty through every adjoint, long chains. Some minutes, not in `.ci/run`."""
    install(session, *group("tests"), *group("examples"))
    pytest(session, "-m", "slow")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, built strictly, into out/site: open out/site/index.html."""
    install(session, *group("docs"))
    session.run("mkdocs", "build", "--strict", *session.posargs, env=SITE)


@nox.session
def site(session: nox.Session) -> None:
    """The built site in a headless Chromium (Debian's chromium and chromium-driver): search, links, looks."""
    install(session, *group("docs"), *group("site"))
    built, pictures = (pathlib.Path(session.create_tmp()).absolute() / name for name in ("built", "pictures"))
    session.run("mkdocs", "build", "--strict", "--site-dir", str(built), env=SITE)
    environment = {"HYPE_SITE": str(built), "HYPE_PICTURES": str(pictures)}
    session.run("pytest", "--confcutdir=tests/site", "tests/site", *session.posargs, env=environment)
    session.log(f"Pictures to look at are in {pictures}.")


@nox.session
def hypertrain(session: nox.Session) -> None:
    """The main job: train a network, then train its learning-rate schedule."""
    install(session, *group("examples"))
    session.run("python", "examples/hypertrain.py", *session.posargs)


@nox.session
def gallery(session: nox.Session) -> None:
    """Run every example at its full size, or some by name, and put what they print and draw into the gallery."""
    install(session, *group("examples"))
    session.run("python", "examples/gallery.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Loops against the same written by hand, and against other libraries: all, or `nox -s bench -- NAME ...`."""
    install(session, *group("bench"))
    scripts = sorted(path.stem for path in pathlib.Path("benchmarks").glob("[!_]*.py"))
    for name in session.posargs or scripts:
        session.run("python", f"benchmarks/{name}.py")
