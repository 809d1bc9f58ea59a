"""A registry with real versions of a real project, made once, and real server processes on it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from modelyard.model_registry.registration import Registration

ROOT = Path(__file__).resolve().parents[3]
PROJECT = "fraud_detection"


@dataclass(frozen=True)
class Registry:
    """Versions 1 and 2 work and differ; version 3's gate failed.

    Args:
        data: The data folder with MLflow's database and the feature store.
        examples: Records with their features, as training saw them.
        models: Version to model.
    """

    data: Path
    examples: object
    models: dict

    def promote(self, version, alias="champion"):
        with self.client() as client:
            client.set_registered_model_alias(PROJECT, alias, str(version))

    def demote(self, alias):
        with self.client() as client:
            client.delete_registered_model_alias(PROJECT, alias)

    @contextlib.contextmanager
    def client(self):
        from modelyard.tracking.mlflow_store import client

        with self.here():
            yield client()

    @contextlib.contextmanager
    def here(self):
        """The data folder in this process's environment."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MODELYARD_DATA_DIR", str(self.data))
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            yield

    def add(self, model, *, gate="passed"):
        """Registers a version through the project's own code."""
        from modelyard.catalog.model_versions import RegisteredVersion
        from modelyard.feature_store.schema import schema_digest
        from modelyard.projects import load_project

        schema = schema_digest(load_project(PROJECT).feature_views)
        record = {"feature_schema_digest": schema, "source": "test", "data_digest": "", "commit": "", "is_dirty": False}
        evaluation = {
            "gate": {"passed": gate == "passed", "reason": "as the test wishes"},
            "primary": "average_precision",
            "metrics": {"average_precision": {"value": 0.5, "low": 0.4, "high": 0.6}},
            "floor": {"average_precision": 0.1},
            "champion": None,
        }
        path = self.data / "version.json"
        with self.here():
            RegisteredVersion(project=PROJECT, filepath=str(path)).save(
                Registration(model=model, evaluation=evaluation, card="", record=record, digest=os.urandom(8).hex())
            )
        return json.loads(path.read_text())["version"]

    def files(self, version):
        """The folder of a version's files."""
        from modelyard.model_registry.aliases import RegistryView, files_of

        with self.here(), files_of(RegistryView().candidate(PROJECT, str(version))) as folder:
            return folder


@pytest.fixture(scope="session")
def registry(tmp_path_factory, migrated_database):
    import polars as pl

    from modelyard.catalog.features import FeastFeatures
    from modelyard.project import FitRun
    from modelyard.scoring import learning_rows
    from pipelines.fraud_detection.data import IngestParameters, PeriodParameters, ingest
    from pipelines.fraud_detection.features import FEATURE_VIEWS, FeatureParameters, derive_features
    from pipelines.fraud_detection.model import FitParameters
    from pipelines.fraud_detection.train import fit
    from pipelines.fraud_detection.world import SimulationParameters

    data = tmp_path_factory.mktemp("registry")
    shutil.copy(migrated_database, data / "mlflow.db")
    records = ingest(
        IngestParameters(
            simulation=SimulationParameters(n_customers=150, n_terminals=150, n_days=33, fraud_share=0.03),
            periods=PeriodParameters(train_days=12, valid_days=3, delay_days=7, test_days=4),
        )
    )
    views = derive_features(records, FeatureParameters())
    examples = records
    for view in FEATURE_VIEWS:
        keys = [view.entity, "event_time"]
        examples = examples.join(views[view.name], on=keys, how="left", maintain_order="left")
    made = Registry(data=data, examples=examples, models={})
    with made.here():
        FeastFeatures(project=PROJECT).save(views)
    for number, rounds in ((1, 10), (2, 30)):
        params = FitParameters.model_validate(
            {"booster": {"n_estimators": rounds, "max_bin": 64}, "network": {"loop": {"epochs": 1}}}
        )
        folder = tmp_path_factory.mktemp("fit")
        run = FitRun(seed=number, folder=folder, report=lambda step, value: None, n_threads=1)
        model = fit(learning_rows(examples.filter(pl.col("split") != "unused")), params, run)
        made.models[number] = model
        assert made.add(model) == number
    assert made.add(made.models[1], gate="failed") == 3
    return made


@dataclass
class Server:
    """A running ``kedro serve``."""

    process: subprocess.Popen
    url: str
    errors: Path
    client: httpx.Client

    def log_lines(self):
        return [json.loads(line) for line in self.errors.read_text().splitlines() if line.startswith("{")]

    def wait_for(self, version, timeout_s=120):
        """Until ``version`` answers (None: until nothing does)."""
        deadline = time.monotonic() + timeout_s
        found = "nothing"
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.errors.read_text()
            with contextlib.suppress(httpx.TransportError):
                found = self.client.get("/readyz").json()["projects"][PROJECT].get("version")
                if found == (version and str(version)):
                    return
            time.sleep(0.05)
        raise AssertionError(f"{found} serves, not {version}: {self.errors.read_text()[-3000:]}")

    def metric(self, name, *labels):
        """Sum of the samples called ``name`` whose line has all of ``labels``."""
        lines = self.client.get("/metrics").text.splitlines()
        chosen = [line for line in lines if line.startswith(f"modelyard_{name}") and all(one in line for one in labels)]
        return sum(float(line.rpartition(" ")[2]) for line in chosen)


@contextlib.contextmanager
def running_server(data, folder, *options, python=("-m", "kedro"), **variables):
    """``kedro serve`` in a process of its own, on a free port; ``python``: what starts kedro."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
    environment |= {"MODELYARD_DATA_DIR": str(data)} | variables
    errors = folder / "stderr.log"
    command = [sys.executable, *python, "serve", "--port", "0", "--poll-s", "0.1", *options]
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        )
    try:
        url = process.stdout.readline().split("/ ")[0]
        assert url.startswith("http://127.0.0.1:"), errors.read_text()
        with httpx.Client(base_url=url, timeout=30) as client:
            yield Server(process, url, errors, client)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
