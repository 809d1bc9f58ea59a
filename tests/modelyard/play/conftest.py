"""The system's Chromium, and what the sources of the page are built with."""

import os
import shutil
import subprocess

import pytest
from filelock import FileLock

from scripts.play_page import SOURCES, install

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="session")
def node_modules(session_folder):
    """The folder with what package-lock.json names; fetched once."""
    with FileLock(session_folder / "node_modules.lock"):
        try:
            install(SOURCES)
        except subprocess.CalledProcessError:
            pytest.skip("npm could not fetch what package-lock.json names")
    return SOURCES / "node_modules"


@pytest.fixture(scope="module")
def browser():
    """Chromium for one file of tests: while it runs, no test of another file can run an event loop of its own."""
    executable = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if executable is None:
        pytest.skip("there is no Chromium; apt-get install chromium")
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; make test installs it")
    # --no-sandbox: Chromium refuses to start as root otherwise, which containers are; it sees our own pages only.
    arguments = [*FAKE_CAMERA, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield started
        started.close()


@pytest.fixture
def open_page(browser):
    """Opens pages that must not complain: neither an error in a script nor anything that the policy has blocked."""
    contexts, said = [], []

    def opened(url, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda one: said.append(one.text) if one.type in ("error", "warning") else None)
        page.goto(url)
        return page

    opened.said = said
    yield opened
    for context in contexts:
        context.close()
    # A refused request is logged by the browser itself; the tests of refusals look at what the page makes of it.
    assert [one for one in said if "Failed to load resource" not in one] == []
