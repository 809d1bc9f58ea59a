"""The closed loop, then a person at the browser: real processes from the first transaction to the last click."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from modelyard.retraining import history
from tests.modelyard.retraining.scheduled import PROJECT

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def test_drift_alarms_retrains_promotes_and_the_server_answers_better(told):
    story, said = told.story, "\n".join(told.said)
    assert story.alarms[0] == [], said
    assert story.alarms[1], said
    assert story.asked == [0, 1, 0], "no alarm: nothing; one alarm: one retraining"
    assert story.outcome["event"] == "finished"
    assert story.outcome["is_promoted"], said
    assert story.champion_after == "2"
    served = {answers["version"].unique().item() for answers in story.answers[:-1]}
    assert served == {"1"}
    assert story.answers[-1]["version"].unique().to_list() == ["2"]
    before, after = story.after
    assert after > before + 0.02, said


def test_the_promoted_version_says_who_promoted_it_and_why(told, monkeypatch):
    monkeypatch.setenv("MODELYARD_DATA_DIR", str(told.data))
    from modelyard.tracking.mlflow_store import client

    tags = client().get_model_version(PROJECT, "2").tags
    assert "by the policy, after a retraining for drift" in tags["promoted"]
    assert "over version 1" in tags["average_precision_gain"]
    low = float(re.search(r"\(([+-][\d.]+) to", tags["average_precision_gain"])[1])
    assert low > 0, "the policy auto promotes what is surely better"
    assert {"gate", "gate_reason", "average_precision_floor", "average_precision_champion", "commit"} <= set(tags)
    assert [event["event"] for event in history.read(PROJECT).events] == ["watched", "started", "finished"]


def test_the_story_has_a_picture(told):
    assert (told.data / "story.png").read_bytes().startswith(b"\x89PNG")
    assert any("version 1 would have had" in line for line in told.said)


@contextlib.contextmanager
def everything_up(data):
    """``kedro up`` on free ports; the addresses by name. Ends it with Ctrl-C, and looks that nothing is left."""
    names = ("mlflow", "serve", "dagster")
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    options = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
    log = data / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "kedro", "up", *options],
            cwd=ROOT,
            env=environment | {"MODELYARD_DATA_DIR": str(data)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 240
        while "Ctrl-C ends them all" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        family = psutil.Process(process.pid).children(recursive=True)
        yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}, log.read_text()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 0, log.read_text()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == [], "Ctrl-C ends all of them, and their children"
    finally:
        if process.poll() is None:
            for one in psutil.Process(process.pid).children(recursive=True):
                one.kill()
            process.kill()
            process.wait()


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="module")
def browser():
    executable = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if executable is None:
        pytest.skip("there is no Chromium; apt-get install chromium")
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; make test installs it")
    # --no-sandbox: Chromium refuses to start as root otherwise, which containers are; it sees our own pages only.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield started
        started.close()


def test_a_person_moves_the_alias_in_the_mlflow_ui_and_the_running_server_follows(
    told, browser, monkeypatch, request, tmp_path
):
    """From the version's page of MLflow to the answer of the server, as docs/promotion.md walks through it."""
    monkeypatch.setenv("MODELYARD_DATA_DIR", str(told.data))
    from modelyard.model_registry.promotion import rollback

    assert rollback(PROJECT) == ("1", "2")
    shots = request.config.getoption("--screenshots", default=None) or tmp_path
    shots.mkdir(parents=True, exist_ok=True)
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(60_000)
    with everything_up(told.data) as (addresses, said):
        for name in ("mlflow", "serve", "dagster"):
            assert addresses[name] in said, "each link is printed"
        _wait_for_version(addresses["serve"], "1")
        page.goto(f"{addresses['mlflow']}/#/models/{PROJECT}/versions/2")
        page.get_by_role("heading", name="Card fraud detection").wait_for()
        with contextlib.suppress(Exception):  # MLflow's assistant opens beside the page or does not
            page.get_by_role("button", name="Close").first.click(timeout=3000)
        assert _loaded_figures(page) >= 3, "the description shows the figures"
        page.screenshot(path=shots / "promotion-version.png")
        for tag in ("gate_reason", "data_digest", "commit", "average_precision_gain"):
            page.get_by_text(tag, exact=True).first.wait_for(state="attached")
        page.get_by_text("average_precision_gain", exact=True).first.scroll_into_view_if_needed()
        page.screenshot(path=shots / "promotion-tags.png")
        page.get_by_title("Edit aliases").click()
        page.get_by_role("dialog").get_by_role("combobox").click()
        page.keyboard.type("champion")
        page.keyboard.press("Enter")
        page.screenshot(path=shots / "promotion-alias.png")
        page.get_by_role("button", name="Save aliases").click()
        _wait_for_version(addresses["serve"], "2")
        page.get_by_text("@ champion").or_(page.get_by_title("champion")).first.wait_for()
        page.screenshot(path=shots / "promotion-done.png")
        assert _ask(addresses["serve"]) == "2"
        page.goto(f"{addresses['dagster']}/automation")
        for automation in (f"{PROJECT}_calendar", "drift", "missed", "new_data", "watch"):
            page.get_by_text(automation, exact=True).first.wait_for()
        page.get_by_text(re.compile(r"^(At|Every) ")).first.wait_for()  # the rows' details come after their names
        assert page.get_by_role("dialog").count() == 0, "nothing lies over the page"
        page.screenshot(path=shots / "retraining-dagster.png")
    page.close()


def _loaded_figures(page):
    """How many figures of the description arrived as pictures."""
    page.locator("img[src*='get-artifact']").first.wait_for(state="attached")
    script = (
        "() => [...document.querySelectorAll(\"img[src*='get-artifact']\")].filter(i => i.naturalWidth > 50).length"
    )
    page.wait_for_function("() => [...document.querySelectorAll(\"img[src*='get-artifact']\")].every(i => i.complete)")
    return page.evaluate(script)


def _wait_for_version(url, version, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if _ask(url) == version:
            return
        time.sleep(0.2)
    raise AssertionError(f"{_ask(url)} answers, not {version}")


def _ask(url):
    """The version that answers the project's example."""
    from modelyard.projects import load_project

    example = json.loads(load_project(PROJECT).api.example.model_dump_json())
    with contextlib.suppress(httpx.TransportError):
        answer = httpx.post(f"{url}/v1/{PROJECT}/predict", json=example, timeout=30, trust_env=False)
        return answer.headers.get("x-model-version")
    return None


def test_a_port_in_use_is_said_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "kedro", "schedule", "--port", str(port)],
            check=False,
            cwd=ROOT,
            env=os.environ | {"MODELYARD_DATA_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 5
    assert f"Port {port} (Dagster) is in use; nothing was started." in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / "logs").exists()
