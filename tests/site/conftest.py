"""The built site, and a headless Chromium to read it with."""

import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .reader import Reader

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site: `HYPE_SITE`, or built for these tests."""
    if "HYPE_SITE" in os.environ:
        return Path(os.environ["HYPE_SITE"])
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="session")
def pages(site):
    """The pages, by their paths."""
    return {page.relative_to(site).as_posix(): page.read_text() for page in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="session")
def address(site):
    """The address of a server of the site."""
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """One browser for all tests: it starts in a second."""
    reader = Reader(tmp_path_factory.mktemp("profile"))
    yield reader
    reader.quit()


@pytest.fixture
def reader(browser):
    browser.look(1280, 900, "light")
    browser.what_was_logged()  # by earlier tests
    return browser


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Where pictures of pages are kept: `HYPE_PICTURES`, or a temporary folder."""
    return Path(os.environ.get("HYPE_PICTURES") or tmp_path_factory.mktemp("pictures"))
