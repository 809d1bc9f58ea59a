"""One lifecycle with every back end: tracking, studies and feature registry in PostgreSQL, features in Redis, artifacts
in S3. All tests read what this one run left."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import polars as pl
import psutil
import pytest
import yaml
from polars.testing import assert_frame_equal

from modelyard.back_ends.environment import VARIABLES
from modelyard.errors import StorageError
from modelyard.paths import repository
from tests.services import Service, execute, free_port, s3_environment

PROJECT = "fraud_detection"


@dataclass(frozen=True)
class Deployment:
    """Where everything is, and what the run said."""

    environment: dict[str, str]
    data: Path
    said: str

    def kedro(self, *arguments: str) -> subprocess.CompletedProcess:
        return kedro(self.environment, *arguments)

    def document(self, layer: str, name: str) -> dict:
        return json.loads((self.data / layer / PROJECT / name).read_text())


def kedro(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("MODELYARD_", "MLFLOW_", "AWS_"))
    }
    command = [sys.executable, "-m", "kedro", *arguments]
    return subprocess.run(
        command, cwd=repository(), env=clean | environment, capture_output=True, text=True, check=False, timeout=900
    )


def shared_environment(postgresql: Service, redis: Service, s3: Service, data: Path) -> dict[str, str]:
    driver = "postgresql+psycopg"
    return s3_environment(s3) | {
        "MODELYARD_DATA_DIR": str(data),
        VARIABLES["tracking"]: postgresql.address(driver, "mlflow"),
        VARIABLES["artifacts"]: "s3://modelyard/mlflow",
        VARIABLES["studies"]: postgresql.address(driver, "optuna"),
        VARIABLES["feature_registry"]: postgresql.address(driver, "feast"),
        VARIABLES["online_features"]: redis.address("redis", "1"),
    }


def small() -> str:
    """The sizes of conf/ci as --params."""
    values = yaml.safe_load((repository() / "conf" / "ci" / PROJECT / "parameters.yml").read_text())
    values[PROJECT]["ingest"]["source"] = "simulated"
    values[PROJECT]["tune"] = {"n_trials": 2, "n_parallel": 2}
    return ",".join(_flat(values, ""))


def _flat(values: dict, prefix: str) -> list[str]:
    lines = []
    for name, value in values.items():
        lines += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}={value}"]
    return lines


@pytest.fixture(scope="module")
def deployment(postgresql, redis, s3, tmp_path_factory) -> Deployment:
    data = tmp_path_factory.mktemp("deployment")
    environment = shared_environment(postgresql, redis, s3, data)
    ended = kedro(environment, "run", f"--pipeline={PROJECT}", "--env=prod", f"--params={small()}")
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    return Deployment(environment, data, said)


@pytest.fixture
def here(deployment, monkeypatch) -> Deployment:
    """This process in the deployment's environment."""
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    return deployment


def test_runs_and_the_version_are_in_postgresql(deployment, postgresql):
    [(name, version, card)] = execute(postgresql, "mlflow", "SELECT name, version, description FROM model_versions")
    assert (name, version) == (PROJECT, 1)
    assert len(card) <= 5000  # what PostgreSQL holds, and SQLite does not mind
    assert "precision_recall.png" in card
    runs = execute(postgresql, "mlflow", "SELECT status FROM runs")
    assert {status for (status,) in runs} == {"FINISHED"}
    trials = len(deployment.document("06_models", "tuning_summary.json")["trials"])
    assert len(runs) == 1 + trials
    tags = dict(execute(postgresql, "mlflow", "SELECT key, value FROM tags WHERE key = 'environment'"))
    assert tags == {"environment": "prod"}
    assert not list(deployment.data.rglob("mlflow.db"))


def test_artifacts_are_in_s3(deployment, s3):
    root = s3.folder / "buckets" / "modelyard" / "mlflow" / PROJECT
    names = {path.name for path in root.rglob("*") if path.is_file()}
    assert {"MLmodel", "run_record.json", "evaluation.json", "model_card.md", "validation_report.html"} <= names
    assert not (deployment.data / "mlartifacts").exists()


def test_the_study_is_in_postgresql(deployment, postgresql):
    [(name, trials)] = execute(
        postgresql,
        "optuna",
        "SELECT study_name, count(*) FROM studies JOIN trials USING (study_id) GROUP BY study_name",
    )
    assert name.startswith(PROJECT)
    assert trials == len(deployment.document("06_models", "tuning_summary.json")["trials"])
    assert not list(deployment.data.rglob("study.journal"))


def test_the_feature_registry_is_in_postgresql(deployment, postgresql):
    from modelyard.projects import load_project

    stored = execute(postgresql, "feast", f"SELECT feature_view_name FROM feature_views WHERE project_id = '{PROJECT}'")
    assert {name for (name,) in stored} == {view.name for view in load_project(PROJECT).feature_views}
    assert not list(deployment.data.rglob("registry.db"))


def test_redis_answers_what_is_joined_offline(here):
    from datetime import datetime

    from modelyard.catalog.features import FeastFeatures

    features = FeastFeatures(project=PROJECT).load()
    until = datetime.fromisoformat(here.document("04_feature", "written.json")["until"])
    for view in features.views:
        rows = pl.read_parquet(features.folder / f"{view.name}.parquet")
        keys = rows[view.entity].unique().sort().head(200)
        times = pl.Series("event_time", [until] * len(keys), dtype=pl.Datetime("us", "UTC"))
        offline = features.historical(pl.DataFrame([keys, times]), views=[view.name]).drop("event_time")
        assert offline.drop(view.entity).null_count().sum_horizontal()[0] < offline.drop(view.entity).width * len(keys)
        assert_frame_equal(features.online(view.name, keys), offline)
    assert not (features.folder / "online.db").exists()


def test_the_registered_version_can_be_read_and_reproduced(here, tmp_path):
    from modelyard.lineage.reproduction import fetch_version
    from modelyard.lineage.run_context import code_digest
    from modelyard.model_registry.versions import load_version

    folder = fetch_version(PROJECT, "1", tmp_path / "version")
    record = json.loads((folder / "run_record.json").read_text())
    assert record["environment"] == "prod"
    assert record["code_digest"] == code_digest(PROJECT)
    assert record["parameters"]["ingest"]["simulation"]["n_customers"] == 600
    assert type(load_version(PROJECT, "1")).__name__ == "FraudModel"


def test_registering_again_finds_the_version(deployment, postgresql):
    ended = deployment.kedro(
        "run", f"--pipeline={PROJECT}", "--env=prod", f"--params={small()}", f"--from-nodes={PROJECT}.register"
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert execute(postgresql, "mlflow", "SELECT name, version FROM model_versions") == [(PROJECT, 1)]
    registered = deployment.document("08_reporting", "model_version.json")
    assert (registered["version"], registered["is_new"]) == (1, False)


def test_no_password_was_written_anywhere(deployment, postgresql, redis, s3):
    """Not in what was said, in a file of the run, in S3, nor in any table of PostgreSQL."""
    words = [word.encode() for server in (postgresql, redis, s3) for word in server.secrets()]
    places = {"output": deployment.said.encode()}
    for folder in (deployment.data, s3.folder / "buckets"):
        places |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in ("mlflow", "optuna", "feast"):
        dump = subprocess.run(
            ["pg_dump", "--inserts", postgresql.address("postgresql", name)], capture_output=True, check=True
        )
        places[f"database {name}"] = dump.stdout
    assert len(places["database mlflow"]) > 10_000
    assert [place for place, content in places.items() if any(word in content for word in words)] == []


def test_an_unknown_version_is_said_without_the_password(here, postgresql, tmp_path):
    from modelyard.errors import ConfigurationError
    from modelyard.lineage.reproduction import fetch_version

    with pytest.raises(ConfigurationError, match="no version 99") as raised:
        fetch_version(PROJECT, "99", tmp_path)
    assert "***" in str(raised.value)
    assert not [word for word in postgresql.secrets() if word in str(raised.value)]


def test_a_tracking_database_that_is_gone_is_said_at_once(here, postgresql, monkeypatch):
    from modelyard.tracking.mlflow_store import client

    wrong = postgresql.address("postgresql+psycopg", "mlflow", password="wrong-word")
    monkeypatch.setenv(VARIABLES["tracking"], wrong)
    with pytest.raises(StorageError, match="password authentication failed") as raised:
        client()
    assert "wrong-word" not in str(raised.value)


def test_the_mlflow_pages_open_on_postgresql_and_no_command_line_shows_the_password(here, postgresql):
    from modelyard.servers import mlflow_servers

    [server] = mlflow_servers(free_port())
    environment = os.environ | dict(server.environment)
    process = subprocess.Popen(
        server.command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        address = f"http://127.0.0.1:{server.port}/api/2.0/mlflow/registered-models/get?name={PROJECT}"
        versions = answer(address, process)["registered_model"]["latest_versions"]
        lines = [
            " ".join(one.cmdline())
            for one in (psutil.Process(process.pid), *psutil.Process(process.pid).children(True))
        ]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
    assert [version["version"] for version in versions] == ["1"]
    assert len(lines) > 1
    assert not [line for line in lines for word in postgresql.secrets() if word in line]


def answer(address: str, process: subprocess.Popen) -> dict:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return httpx.get(address, timeout=10, trust_env=False).raise_for_status().json()
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"no answer; status {process.poll()}")
