"""Real runs of ``kedro run`` in processes of their own, each in a data folder of its own."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "fraud_detection"


@dataclass
class Run:
    """One ``kedro run`` under way."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def wait_for(self, text: str, timeout_s: float = 240) -> None:
        """Waits until the run has said ``text``."""
        deadline = time.monotonic() + timeout_s
        while not any(text in line for line in self.lines):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the run never said {text!r}:\n" + "".join(self.lines))
            time.sleep(0.01)

    def kill(self) -> None:
        """kill -9 for the run and every process it started for itself."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self, timeout_s: float = 300) -> int:
        """Waits for the exit status."""
        return self.process.wait(timeout=timeout_s)

    @property
    def said(self) -> str:
        """Everything printed so far."""
        return "".join(self.lines)


@pytest.fixture
def start_run(tmp_path) -> Callable[..., Run]:
    """``start_run(*arguments, **environment)``: a run of the project in ``tmp_path / "data"``."""
    started: list[Run] = []

    def start(*arguments: str, data: Path | None = None, **environment: str) -> Run:
        command = [sys.executable, "-m", "kedro", "run", f"--pipeline={PROJECT}", "--env=ci", *arguments]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "MODELYARD_DATA_DIR": str(data or tmp_path / "data"), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        run = Run(process)
        threading.Thread(target=lambda: run.lines.extend(process.stdout), daemon=True).start()
        started.append(run)
        return run

    yield start
    for run in started:
        if run.process.poll() is None:
            run.kill()


@pytest.fixture
def registered(tmp_path, monkeypatch) -> Callable[[], list[str]]:
    """Version numbers that the test's registry holds."""

    def versions() -> list[str]:
        monkeypatch.setenv("MODELYARD_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        from modelyard.mlflow_store import client

        return [str(version.version) for version in client().search_model_versions(f"name = '{PROJECT}'")]

    return versions


@pytest.fixture(autouse=True)
def migrated(tmp_path, migrated_database) -> None:
    """MLflow's migrations, once for all tests."""
    (tmp_path / "data").mkdir()
    shutil.copy(migrated_database, tmp_path / "data" / "mlflow.db")
