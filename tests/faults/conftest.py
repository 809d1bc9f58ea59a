"""Real runs of ``kedro run`` in processes of their own, each in a data folder of its own."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
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

    @classmethod
    def start(cls, data: Path, *arguments: str, **environment: str) -> "Run":
        """Starts a run of the project with its data in ``data``."""
        process = subprocess.Popen(
            [sys.executable, "-m", "kedro", "run", f"--pipeline={PROJECT}", "--env=ci", *arguments],
            cwd=ROOT,
            env={**os.environ, "MODELYARD_DATA_DIR": str(data), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        run = cls(process)
        run._reader = threading.Thread(target=lambda: run.lines.extend(process.stdout), daemon=True)
        run._reader.start()
        return run

    def wait_for(self, text: str, timeout_s: float = 240) -> None:
        """Waits until the run has said ``text``."""
        self.wait_until(lambda: text in self.said, repr(text), timeout_s)

    def wait_until(self, is_so: Callable[[], bool], what: str, timeout_s: float = 240) -> None:
        """Waits, as long as the run lives, until ``is_so``."""
        deadline = time.monotonic() + timeout_s
        while not is_so():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the run never came to {what}:\n{self.said}")
            time.sleep(0.01)

    def kill(self) -> None:
        """kill -9 for the run and every process it started for itself."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self, timeout_s: float = 300) -> int:
        """Waits for the exit status, and for the last words."""
        status = self.process.wait(timeout=timeout_s)
        self._reader.join(timeout=10)
        return status

    @property
    def said(self) -> str:
        """Everything printed so far."""
        return "".join(self.lines)


@pytest.fixture
def start_run(tmp_path) -> Iterator[Callable[..., Run]]:
    """``start_run(*arguments, data=None, **environment)``: a run of the project in ``tmp_path / "data"``."""
    started: list[Run] = []

    def start(*arguments: str, data: Path | None = None, **environment: str) -> Run:
        started.append(Run.start(data or tmp_path / "data", *arguments, **environment))
        return started[-1]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.kill()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, migrated_database) -> Path:
    """The data folder of a run that nothing disturbed."""
    data = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(migrated_database, data / "mlflow.db")
    run = Run.start(data)
    assert run.end() == 0, run.said
    return data


@pytest.fixture
def registered(tmp_path, monkeypatch) -> Callable[..., list[str]]:
    """``registered(data=None)``: version numbers that the registry in the data folder holds."""

    def versions(data: Path | None = None) -> list[str]:
        monkeypatch.setenv("MODELYARD_DATA_DIR", str(data or tmp_path / "data"))
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        from modelyard.tracking.mlflow_store import client

        return [str(version.version) for version in client().search_model_versions(f"name = '{PROJECT}'")]

    return versions


@pytest.fixture(autouse=True)
def migrated(tmp_path, migrated_database) -> None:
    """MLflow's migrations, once for all tests."""
    (tmp_path / "data").mkdir()
    shutil.copy(migrated_database, tmp_path / "data" / "mlflow.db")
