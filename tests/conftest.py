"""A data folder of its own for each test, and an MLflow database that is migrated once for all of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

import modelyard  # noqa: F401  # before a test loads torch: the waits of its threads

# An example may take long on a busy machine; no test depends on the time that it takes.
settings.register_profile("without_deadline", deadline=None)
settings.load_profile("without_deadline")


def pytest_addoption(parser):
    parser.addoption("--screenshots", type=Path, help="Folder in which the pages' pictures of docs/ are written anew.")


@pytest.fixture
def data_directory(tmp_path, monkeypatch) -> Path:
    """An empty data folder; tracking goes there too."""
    monkeypatch.setenv("MODELYARD_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory) -> Path:
    """A folder that all workers of the session share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder


@pytest.fixture(scope="session")
def migrated_database(session_folder) -> Path:
    """An empty MLflow database with all its tables: MLflow's migrations take longer than most tests."""
    folder = session_folder / "migrated"
    with FileLock(f"{folder}.lock"):
        if not (folder / "mlflow.db").exists():
            code = "from modelyard.tracking.mlflow_store import client; client().search_experiments()"
            environment = os.environ | {"MODELYARD_DATA_DIR": str(folder)}
            environment.pop("MLFLOW_TRACKING_URI", None)
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return folder / "mlflow.db"


@pytest.fixture
def mlflow_database(data_directory, migrated_database) -> Path:
    """The data folder, with a migrated database in it."""
    shutil.copy(migrated_database, data_directory / "mlflow.db")
    return data_directory
