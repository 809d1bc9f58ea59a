"""A real server on a real registry: the same answers as offline, and promotions while it is under load."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise

import httpx
import pytest

from tests.modelyard.serving.conftest import PROJECT, ROOT, running_server

ROUTE = f"/v1/{PROJECT}"


@pytest.fixture(scope="module")
def server(registry, tmp_path_factory):
    registry.promote(1)
    with running_server(registry.data, tmp_path_factory.mktemp("server")) as running:
        running.wait_for(1)
        yield running


@pytest.fixture(autouse=True)
def _version_1_serves(request, registry):
    registry.promote(1)
    if "server" in request.fixturenames:
        request.getfixturevalue("server").wait_for(1)


def rows_as_requests(registry, n):
    """Test rows, as JSON requests and as the frame that offline prediction takes."""
    from modelyard.projects import load_project

    api = load_project(PROJECT).api
    rows = registry.examples.tail(400).sample(n, seed=1)
    requests = [
        api.request.model_validate(row)
        for row in rows.select(name for name in api.request.model_fields if name in rows.columns).to_dicts()
    ]
    return rows, [request.model_dump(mode="json") for request in requests]


def offline(registry, version, rows):
    from modelyard.projects import load_project

    return load_project(PROJECT).predict(registry.models[version], rows)["score"].to_list()


def test_single_is_batch_is_offline(server, registry):
    rows, requests = rows_as_requests(registry, 30)
    batch = server.client.post(f"{ROUTE}/predict", json=requests)
    assert batch.headers["x-model-version"] == "1"
    scores = [one["fraud_probability"] for one in batch.json()["predictions"]]
    assert scores == pytest.approx(offline(registry, 1, rows), rel=1e-5)
    singles = [server.client.post(f"{ROUTE}/predict", json=request).json() for request in requests]
    assert [one["fraud_probability"] for one in singles] == pytest.approx(scores, rel=1e-5)
    assert [one["is_alert"] for one in singles] == [one["is_alert"] for one in batch.json()["predictions"]]
    invoked = server.client.post(f"{ROUTE}/invocations", json={"dataframe_records": requests}).json()
    assert [one["fraud_probability"] for one in invoked["predictions"]] == pytest.approx(scores, rel=1e-5)


def test_by_key_is_predict_with_the_features_of_the_store(server, registry):
    import polars as pl

    from modelyard.catalog.features import FeastFeatures
    from modelyard.projects import load_project

    api = load_project(PROJECT).api
    last = registry.examples["event_time"].max()
    asked = registry.examples.select("customer_id", "terminal_id", "amount").sample(20, seed=2)
    asked = asked.with_columns(pl.lit(last).alias("event_time"))
    with registry.here():
        known = FeastFeatures(project=PROJECT).load().historical(asked)
    full = [api.request.model_validate(row).model_dump(mode="json") for row in known.to_dicts()]
    keys = [{name: row[name] for name in asked.columns} for row in full]
    expected = server.client.post(f"{ROUTE}/predict", json=full).json()["predictions"]
    answer = server.client.post(f"{ROUTE}/predict_by_key", json=keys).json()
    assert answer["predictions"] == [
        one | {"fraud_probability": pytest.approx(one["fraud_probability"], rel=1e-5)} for one in expected
    ]
    times = registry.examples.group_by("customer_id").agg(pl.col("event_time").max())
    latest = dict(times.iter_rows())
    for row, as_of in zip(keys, answer["features_as_of"], strict=True):
        assert as_of["customer_spending"] == latest[row["customer_id"]].replace(microsecond=0).isoformat()
    one = server.client.post(f"{ROUTE}/predict_by_key", json=keys[0]).json()
    assert one["prediction"]["fraud_probability"] == pytest.approx(expected[0]["fraud_probability"], rel=1e-5)


def test_an_unknown_key_has_no_features_and_a_wrong_field_is_named(server, registry):
    _, (request,) = rows_as_requests(registry, 1)
    own = {name: request[name] for name in ("event_time", "customer_id", "terminal_id", "amount")}
    answer = server.client.post(f"{ROUTE}/predict_by_key", json=own | {"customer_id": 10**15, "terminal_id": 10**16})
    assert answer.json()["features_as_of"] == {"customer_spending": None, "terminal_risk": None}
    bare = server.client.post(f"{ROUTE}/predict", json=own)
    assert answer.json()["prediction"] == bare.json()
    wrong = server.client.post(f"{ROUTE}/predict_by_key", json=own | {"terminal_risk_7d": 0.5})
    assert wrong.status_code == 422
    assert wrong.json()["detail"][0]["loc"] == ["body", "terminal_risk_7d"]


def test_twenty_swaps_under_load_drop_and_mix_nothing(server, registry):
    _, requests = rows_as_requests(registry, 2)
    expected = {str(version): answers_of(registry, version, requests) for version in (1, 2)}
    assert abs(expected["1"][0] - expected["2"][0]) > 1e-4
    stop, wrong, seen = threading.Event(), [], []

    def load():
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not stop.is_set():
                answer = client.post(f"{ROUTE}/predict", json=requests)
                version = answer.headers.get("x-model-version")
                scores = [one["fraud_probability"] for one in answer.json().get("predictions", ())]
                seen.append(version)
                if answer.status_code != 200 or scores != pytest.approx(expected[version], rel=1e-5):
                    wrong.append((answer.status_code, version, scores))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: seen)
        for number in range(20):
            target = str(2 - number % 2)
            registry.promote(target)
            wait_until(lambda target=target: seen and seen[-1] == target)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert set(seen) == {"1", "2"}
    assert sum(a != b for a, b in pairwise(seen)) >= 20
    assert server.metric("swaps_total") >= 20


def answers_of(registry, version, requests):
    from modelyard.projects import load_project

    project = load_project(PROJECT)
    decoded = project.api.decode([project.api.request.model_validate(request) for request in requests])
    return offline(registry, version, decoded)


def test_a_version_whose_gate_failed_is_refused(server, registry):
    registry.promote(3)
    wait_until(lambda: server.metric("versions_refused_total", 'version="3"', 'reason="gate"') >= 1)
    ready = server.client.get("/readyz").json()["projects"][PROJECT]
    assert (ready["version"], "Version 3 was refused" in ready["degraded"]) == ("1", True)
    assert "gate" in server.client.get(ROUTE).json()["refused"]["3"]
    (line,) = [line for line in server.log_lines() if line.get("reason") == "gate"]
    assert (line["level"], line["version"], line["serving"]) == ("error", "3", "1")


@pytest.mark.parametrize("broken", ["booster.ubj", "network.safetensors"])
def test_a_version_with_broken_files_is_refused(server, registry, broken):
    version = registry.add(registry.models[2])
    (path,) = registry.files(version).rglob(broken)
    path.write_bytes(path.read_bytes()[:100])
    registry.promote(version)
    wait_until(lambda: server.metric("versions_refused_total", f'version="{version}"', 'reason="files"') >= 1)
    assert predict_once(server, registry).headers["x-model-version"] == "1"


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_version_whose_checksums_were_changed_with_its_files_is_refused(server, registry, is_deleted):
    from modelyard.model_registry.mlflow_model import write_checksums

    version = registry.add(registry.models[2])
    folder = registry.files(version)
    (path,) = folder.rglob("network.safetensors")
    (other,) = registry.files(1).rglob("network.safetensors")
    path.write_bytes(other.read_bytes())
    write_checksums(folder)
    if is_deleted:
        (folder / "checksums.json").unlink()
    registry.promote(version)
    wait_until(lambda: server.metric("versions_refused_total", f'version="{version}"', 'reason="files"') >= 1)
    assert predict_once(server, registry).headers["x-model-version"] == "1"


def test_a_version_that_answers_nonsense_is_refused(server, registry):
    import torch

    from modelyard.model_registry.mlflow_model import load

    with registry.here():
        sick = load(registry.files(2))
    with torch.no_grad():
        sick.network.output.bias.fill_(float("nan"))
    version = registry.add(sick)
    registry.promote(version)
    wait_until(lambda: server.metric("versions_refused_total", f'version="{version}"', 'reason="smoke"') >= 1)
    assert predict_once(server, registry).headers["x-model-version"] == "1"


def test_a_version_of_another_feature_schema_is_refused(server, registry):
    version = registry.add(registry.models[2])
    with registry.client() as client:
        client.set_model_version_tag(PROJECT, str(version), "feature_schema_digest", "another")
    registry.promote(version)
    wait_until(lambda: server.metric("versions_refused_total", f'version="{version}"', 'reason="schema"') >= 1)
    assert predict_once(server, registry).headers["x-model-version"] == "1"


def test_what_serves_goes_on_when_its_files_are_gone(server, registry):
    version = registry.add(registry.models[2])
    registry.promote(version)
    server.wait_for(version)
    shutil.rmtree(registry.files(version))
    assert predict_once(server, registry).status_code == 200
    registry.promote(1)
    server.wait_for(1)
    registry.promote(version)  # a rollback to what is still in memory
    server.wait_for(version)


def test_without_the_alias_serving_ends_and_begins_again(server, registry):
    registry.demote("champion")
    server.wait_for(None)
    answer = predict_once(server, registry)
    assert answer.status_code == 503
    assert "alias champion" in answer.json()["way_out"]
    registry.promote(2)
    server.wait_for(2)


def test_every_line_of_the_log_is_json_and_has_the_request_id(server, registry):
    _, (request,) = rows_as_requests(registry, 1)
    server.client.post(f"{ROUTE}/predict", json=request, headers={"X-Request-Id": "find-me"})
    wait_until(lambda: any(line.get("request_id") == "find-me" for line in server.log_lines()))
    (line,) = [line for line in server.log_lines() if line.get("request_id") == "find-me"]
    assert (line["status"], line["version"], line["path"]) == (200, "1", f"{ROUTE}/predict")
    assert [text for text in server.errors.read_text().splitlines() if not text.startswith("{")] == []


def test_a_port_in_use_is_one_readable_message(server):
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "kedro", "serve", "--port", port]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 5
    assert f"Port {port} of 127.0.0.1 is in use" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--project", "fraud_detectoin"], "Did you mean 'fraud_detection'?"),
        (["--shadow-share", "2"], "--shadow-share"),
        (["--queue-rows", "10"], "queue_rows"),
        (["--host", "203.0.113.9"], "203.0.113.9"),
    ],
)
def test_wrong_options_are_readable_messages(options, words):
    command = [sys.executable, "-m", "kedro", "serve", "--port", "0", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def predict_once(server, registry):
    _, (request,) = rows_as_requests(registry, 1)
    return server.client.post(f"{ROUTE}/predict", json=request)


def wait_until(condition, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_workers_share_the_port_and_the_counters_and_end_together(registry, tmp_path):
    with running_server(registry.data, tmp_path, "--workers", "2") as server:
        server.wait_for(1)
        _, (request,) = rows_as_requests(registry, 1)
        answered = 0
        for _ in range(40):  # a new connection each time: either worker may take it
            answer = httpx.post(f"{server.url}{ROUTE}/predict", json=request, timeout=30)
            assert answer.status_code in (200, 503)  # the other worker may still be loading
            answered += answer.status_code == 200
        assert server.metric("requests_total", 'route="predict"', 'status="200"') == answered > 0
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0, server.errors.read_text()


def test_a_damaged_champion_and_a_deleted_registry_end_no_service(registry, tmp_path):
    from modelyard.model_registry.promotion import promote

    with registry.here():
        promote(PROJECT, "1")
        promote(PROJECT, "2")
        version = registry.add(registry.models[2])
        promote(PROJECT, str(version))
    (weights,) = registry.files(version).rglob("network.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    with running_server(registry.data, tmp_path) as server:
        server.wait_for(2)
        ready = server.client.get("/readyz")
        assert (ready.status_code, f"Version {version} was refused" in ready.text) == (200, True)
        assert server.metric("degraded", f'project="{PROJECT}"') == 1
        database, aside = registry.data / "mlflow.db", tmp_path / "mlflow.db"
        shutil.move(database, aside)
        try:
            wait_until(lambda: server.metric("registry_up") == 0)
            time.sleep(5)
            assert predict_once(server, registry).headers["x-model-version"] == "2"
            assert not database.exists()
        finally:
            shutil.move(aside, database)
        wait_until(lambda: server.metric("registry_up") == 1)
        registry.promote(1)
        server.wait_for(1)
        assert "degraded" not in server.client.get("/readyz").text
