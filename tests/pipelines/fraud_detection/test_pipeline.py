"""The real ``kedro run --env=ci``, end to end, and what can be done with what it leaves."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def data(tmp_path_factory, migrated_database):
    folder = tmp_path_factory.mktemp("data")
    shutil.copy(migrated_database, folder / "mlflow.db")
    return folder


@pytest.fixture(scope="module")
def environment(data):
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    return variables | {"MODELYARD_DATA_DIR": str(data), "PATH": path}


@pytest.fixture(scope="module")
def run(environment):
    command = [sys.executable, "-m", "kedro", "run", "--pipeline=fraud_detection", "--env=ci"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def reporting(run, data):
    assert run.returncode == 0, run.stderr
    return data / "08_reporting" / "fraud_detection"


def test_the_run_ends_with_a_summary_that_says_what_a_person_wants_to_know(run):
    assert run.returncode == 0, run.stderr
    for words in (
        "done in",
        "rows:",
        "average_precision",
        "95 % interval",
        "gate",
        "version 1",
        "reports:",
        "kedro promote",
    ):
        assert words in run.stdout
    assert "Warning" not in run.stderr
    assert "deprecated" not in run.stderr
    assert "\x1b[" not in run.stdout  # plain text where there is no terminal


def test_the_metrics_document_has_the_promised_shape(reporting):
    metrics = json.loads((reporting / "metrics.json").read_text())
    assert set(metrics) == {
        "project",
        "source",
        "data_digest",
        "code",
        "n_test",
        "shown",
        "metrics",
        "floor",
        "champion",
        "gate",
        "model_version",
    }
    assert metrics["champion"] is None
    assert set(metrics["gate"]) == {"passed", "reason"}
    for name, metric in metrics["metrics"].items():
        assert set(metric) == {"value", "low", "high"}
        assert name in metrics["floor"]
    average_precision = metrics["metrics"]["average_precision"]
    assert metrics["floor"]["average_precision"] < average_precision["low"] <= average_precision["value"]


def test_every_report_is_there(reporting):
    assert "# Card fraud detection" in (reporting / "model_card.md").read_text()
    assert "<html" in (reporting / "validation_report.html").read_text()
    assert len(list((reporting / "figures").glob("*.png"))) >= 4


def test_no_file_of_the_run_is_a_pickle(run, data):
    assert run.returncode == 0
    files = [path for path in data.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".joblib")]
    assert not [path for path in files if path.open("rb").read(2) in (b"\x80\x04", b"\x80\x05")]


def test_the_online_store_answers_what_the_offline_store_says_for_the_same_moment(reporting, data, monkeypatch):
    import polars as pl

    from modelyard.catalog.features import FeastFeatures

    monkeypatch.setenv("MODELYARD_DATA_DIR", str(data))
    features = FeastFeatures(
        project="fraud_detection",
        filepath=str(data / "04_feature" / "fraud_detection"),
        registry=str(data / "04_feature" / "registry.db"),
    ).load()
    records = pl.read_parquet(data / "03_primary" / "fraud_detection" / "records.parquet")
    last = records["event_time"].max()
    for view in features.views:
        keys = records[view.entity].unique().sort().head(40)
        moment = pl.lit(last).alias("event_time")
        entities = pl.DataFrame({one.entity: keys for one in features.views}).with_columns(moment)
        offline = features.historical(entities).select(feature.name for feature in view.features)
        online = features.online(view.name, keys).select(offline.columns)
        assert online.cast(offline.schema).equals(offline)


def test_mlflow_serves_the_challenger_with_the_projects_own_request_schema(reporting, environment, data):
    from pipelines.fraud_detection.pipeline import PROJECT

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", "models:/fraud_detection@challenger", "--env-manager", "local"]
    server = subprocess.Popen(
        [*command, "-p", str(port)],
        cwd=ROOT,
        env=environment | {"MLFLOW_TRACKING_URI": f"sqlite:///{data / 'mlflow.db'}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(port)
        answer = _post(port, [PROJECT.api.example.model_dump(mode="json")])
        assert set(answer["predictions"][0]) == set(PROJECT.api.response.model_fields)
        with pytest.raises(urllib.error.HTTPError) as refused:
            _post(port, [{"amount": "a lot"}])
        assert 400 <= refused.value.code < 600
    finally:
        os.killpg(server.pid, 9)


def test_the_version_comes_out_again_digit_for_digit(reporting, environment):
    command = [sys.executable, "-m", "kedro", "reproduce", "fraud_detection", "--version", "1"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "reproduced to the last digit" in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == 0
    assert re.search(r"same +weights: [0-9a-f]{64}", ended.stdout)


def test_a_version_that_does_not_exist_is_one_message(reporting, environment):
    command = [sys.executable, "-m", "kedro", "reproduce", "fraud_detection", "--version", "99"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "fraud_detection has no version 99" in ended.stderr
    assert "Traceback" not in ended.stderr


def _wait_for(port, timeout_s=240):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server did not come up")


def _post(port, records):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps({"dataframe_records": records}).encode(),
        headers={"Content-Type": "application/json"},
    )
    return json.loads(urllib.request.urlopen(request, timeout=60).read())
