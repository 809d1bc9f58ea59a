"""The command on a real request log and a real registry: files, tracking, exit statuses, and clear refusals."""

import json
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from click.testing import CliRunner

from modelyard.commands.monitor import _gravity, monitor
from modelyard.errors import ALARM_EXIT_STATUS
from modelyard.monitoring.html_report import _head
from modelyard.monitoring.performance import is_worse, label_folder
from modelyard.monitoring.windows import window_of
from modelyard.projects import load_project
from modelyard.serving.log_segments import SEGMENT_SUFFIX, record_of, served_folder
from modelyard.serving.request_log import Entry, Logged, rows_of
from pipelines.fraud_detection.serve import decode
from tests.modelyard.monitoring.conftest import PROJECT, examples_of, last_week

NOW = datetime(2026, 5, 31, 12, tzinfo=UTC)


def serve(watched, rows, served_at=NOW - timedelta(hours=3), role="champion", version="1"):
    """Writes what the server writes when it has answered ``rows``, a request each."""
    project = load_project(PROJECT)
    fields = [name for name in project.api.request.model_fields if name in rows.columns]
    requests = [project.api.request.model_validate(row) for row in rows.select(fields).iter_rows(named=True)]
    logged = [Logged(f"request-{number}", 1) for number in range(rows.height)]
    inputs = project.api.decode(requests)
    predictions = project.predict(watched.model, inputs) if role != "stream" else None
    entry = Entry(served_at.timestamp(), role, version, logged, inputs, predictions)
    folder = served_folder(PROJECT)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{version}-{role}{SEGMENT_SUFFIX}"
    path.write_bytes(record_of(rows_of(project, entry)))


def run(*options):
    return CliRunner().invoke(monitor, ["--pipeline", PROJECT, "--until", NOW.isoformat(), *options])


def reports(watched):
    return watched.data / "08_reporting" / PROJECT / "monitoring"


def customers(rows, at_most):
    return rows.filter(pl.col("customer_id").cast(pl.Int64) < at_most)


@pytest.fixture(scope="module")
def drifted_rows():
    return last_week(examples_of(n_customers=150, n_terminals=150, seed=5, drift=1.0, fraud_share=0.05))


def test_a_drifted_window_with_labels(in_service, drifted_rows):
    serve(in_service, drifted_rows)
    serve(in_service, drifted_rows.head(300), role="shadow", version="2")
    label_folder(PROJECT).mkdir(parents=True)
    labels = drifted_rows.select(
        pl.format("request-{}", pl.int_range(pl.len())).alias("request_id"), "is_fraud", "customer_id"
    )
    # The first label is wrong, and corrected later.
    labels.head(1).with_columns(is_fraud=~pl.col("is_fraud")).write_parquet(label_folder(PROJECT) / "1.parquet")
    labels.write_parquet(label_folder(PROJECT) / "2.parquet")
    result = run("--window", "7d")
    assert result.exit_code == ALARM_EXIT_STATUS, result.output

    verdict = json.loads((reports(in_service) / "latest.json").read_text())
    assert verdict == json.loads((reports(in_service) / "20260531T120000Z" / "verdict.json").read_text())
    assert {"project", "model_version", "window", "n_rows", "is_drifted", "columns", "prediction", "quality"} <= set(
        verdict
    )
    assert (verdict["project"], verdict["model_version"], verdict["is_drifted"]) == (PROJECT, 1, True)
    assert verdict["n_rows"] == drifted_rows.height
    assert {"name", "test", "statistic", "p_value_adjusted", "is_drifted"} <= set(verdict["columns"][0])
    measured = verdict["performance"]
    assert (measured["metric"], measured["n_labelled"]) == ("average_precision", drifted_rows.height)
    assert measured["resampled"] == "customer_id"
    assert measured["low"] <= measured["value"] <= measured["high"]

    report = (reports(in_service) / "20260531T120000Z" / "report.html").read_text(encoding="utf-8")
    assert len(report.encode()) <= 2_000_000
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert "amount: its values have drifted" in report
    n_alarms = len(verdict["alarms"])
    assert any(alarm.startswith("amount: its values have drifted") for alarm in verdict["alarms"])
    assert f"ALARM  {verdict['alarms'][0].partition(':')[0]}" in result.output
    assert result.output.count("ALARM  ") == min(n_alarms, 10)
    assert (f"and {n_alarms - 10} more alarms" in result.output) == (n_alarms > 10)
    assert is_tracked(n_alarms=n_alarms)


def test_the_log_is_read_as_it_is_streams_included_and_what_is_damaged_is_counted(in_service, monkeypatch):
    rows = customers(last_week(in_service.examples), 300)
    serve(in_service, rows.head(400))
    serve(in_service, rows.tail(rows.height - 400), role="stream")
    (served_folder(PROJECT) / f"broken{SEGMENT_SUFFIX}").write_bytes(b"garbage")
    api = load_project(PROJECT).api
    monkeypatch.setattr(type(api.example), "model_validate", None)  # neither validated nor decoded a second time
    object.__setattr__(api, "decode", None)
    try:
        result = run("--window", "7d")
    finally:
        object.__setattr__(api, "decode", decode)
    assert result.exit_code == 0, result.output
    assert "1 rows of the log cannot be read and are set aside" in result.output
    verdict = json.loads((reports(in_service) / "latest.json").read_text())
    assert (verdict["n_rows"], verdict["n_set_aside"]) == (rows.height, 1)
    assert [finding for finding in verdict["quality"] if finding["kind"] == "missing"] == []


def test_one_row_of_the_year_1_blinds_nobody(in_service, drifted_rows):
    serve(in_service, drifted_rows)
    first = drifted_rows.with_columns(pl.lit(datetime(1, 1, 1, tzinfo=UTC)).alias("event_time")).head(1)
    serve(in_service, first, version="1", served_at=NOW - timedelta(hours=4), role="canary")
    assert run("--window", "7d").exit_code == ALARM_EXIT_STATUS
    verdict = json.loads((reports(in_service) / "latest.json").read_text())
    assert (verdict["n_rows"], verdict["is_drifted"]) == (drifted_rows.height + 1, True)


@pytest.mark.parametrize(("n_alarms", "folded"), [(0, None), (10, None), (12, "<summary>2 more alarms</summary>")])
def test_a_page_begins_with_ten_alarms_and_folds_the_others_away(n_alarms, folded):
    window = {"since": "2026-01-01", "until": "2026-01-08"}
    alarms = [f"column {number} has <drifted>" for number in range(n_alarms)]
    verdict = {"project": PROJECT, "model_version": 1, "window": window, "n_rows": 5, "alarms": alarms}
    head = _head(verdict, n_columns=3, n_rows=5)
    assert head.count("<li>") == n_alarms
    assert "<drifted>" not in head
    assert head.partition("<details>")[0].count("<li>") == min(n_alarms, 10)
    assert folded in head if folded else "<details>" not in head


def is_tracked(n_alarms):
    """Waits for the process that brings the run to MLflow."""
    from modelyard.tracking.mlflow_store import client

    store = client()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        experiment = store.get_experiment_by_name(f"{PROJECT}.monitoring")
        runs = store.search_runs([experiment.experiment_id], "tags.kind = 'monitor'") if experiment else []
        if runs and runs[0].info.status == "FINISHED":
            assert runs[0].data.tags["model_version"] == "1"
            assert "distance.amount" in runs[0].data.metrics
            return runs[0].data.metrics["n_alarms"] == n_alarms
        time.sleep(0.2)
    return False


def test_an_undrifted_batch_is_scored_and_exits_with_0(in_service, tmp_path):
    batch = customers(last_week(in_service.examples), 300)
    batch.write_parquet(tmp_path / "batch.parquet")
    result = run("--batch", str(tmp_path / "batch.parquet"), "--version", "1")
    assert result.exit_code == 0, result.output
    assert "no alarm" in result.output
    verdict = json.loads((reports(in_service) / "latest.json").read_text())
    assert (verdict["n_rows"], verdict["alarms"], verdict["not_served"]) == (batch.height, [], [])
    assert verdict["performance"]["n_labelled"] == batch.height  # the batch brings its labels along


def refusal(*options, status):
    result = run(*options)
    assert result.exit_code == status, result.output
    lines = result.output.splitlines()
    assert len(lines) == 3, result.output
    assert lines[1].startswith("  where:")
    assert lines[2].startswith("  way out:")
    return lines[0]


def test_an_empty_window(in_service):
    assert "answered nothing from 2026-05-24 12:00 to 2026-05-31 12:00" in refusal(status=3)


def test_a_window_in_which_another_version_answered(in_service):
    serve(in_service, last_week(in_service.examples).head(20), version="7")
    assert refusal(status=3).endswith("; version 7 answered then.")


def test_no_such_project_version_window_or_environment(in_service):
    result = CliRunner().invoke(monitor, ["--pipeline", "fraud_detektion"])
    assert (result.exit_code, "Did you mean 'fraud_detection'?" in result.output) == (2, True)
    assert f"{PROJECT} has no version 99" in refusal("--version", "99", status=2)
    assert "'7 days' is no length of time" in refusal("--window", "7 days", status=2)
    assert "'yesterday' is no time" in refusal("--since", "yesterday", status=2)
    assert "The window begins at" in refusal("--since", "2027-01-01", status=2)
    assert "There is no environment 'production'" in refusal("--env", "production", status=2)


def test_no_champion(mlflow_database):
    assert "has no champion" in refusal(status=2)


def test_a_version_without_a_reference(in_service, monkeypatch, tmp_path):
    from modelyard.monitoring import watched_version as reference

    version = reference.WatchedVersion(project=PROJECT, version="1", folder=tmp_path)
    with pytest.raises(reference.ConfigurationError, match="carries no reference"):
        _ = version.summary


def test_a_batch_that_is_no_batch(in_service, tmp_path):
    rows = last_week(in_service.examples).head(20)
    scalars = [name for name, dtype in rows.schema.items() if not isinstance(dtype, pl.List)]
    rows.select(scalars).drop("amount", "terminal_id").write_csv(tmp_path / "short.csv")
    found = refusal("--batch", str(tmp_path / "short.csv"), status=3)
    assert "lacks 2 columns that every request has: terminal_id, amount" in found
    negative = pl.when(pl.int_range(pl.len()) == 4).then(-1.0).otherwise("amount")
    rows.with_columns(amount=negative).write_parquet(tmp_path / "wrong.parquet")
    assert "Row 5 is no valid request: amount" in refusal("--batch", str(tmp_path / "wrong.parquet"), status=3)
    assert "The file is not there" in refusal("--batch", str(tmp_path / "none.csv"), status=2)
    (tmp_path / "garbage.parquet").write_bytes(b"garbage")
    assert "The file cannot be read" in refusal("--batch", str(tmp_path / "garbage.parquet"), status=3)


def test_labels_that_do_not_fit(in_service, tmp_path):
    serve(in_service, customers(last_week(in_service.examples), 30))
    pl.DataFrame({"request_id": ["unheard-of"], "is_fraud": [True]}).write_parquet(tmp_path / "unknown.parquet")
    found = refusal("--labels", str(tmp_path / "unknown.parquet"), status=3)
    assert "None of the 1 labels belongs to a row that is looked at: request_id such as unheard-of" in found
    pl.DataFrame({"request_id": ["request-1"], "fraud": [True]}).write_csv(tmp_path / "target.csv")
    assert "Labels need the key" in refusal("--labels", str(tmp_path / "target.csv"), status=3)
    assert not (reports(in_service) / "latest.json").exists()


@pytest.mark.parametrize(
    ("length", "since", "begin"),
    [
        ("7d", None, NOW - timedelta(days=7)),
        ("90m", None, NOW - timedelta(minutes=90)),
        ("2w", None, NOW - timedelta(weeks=2)),
        ("7d", "2026-05-30", datetime(2026, 5, 30, tzinfo=UTC)),
        ("7d", "2026-05-30T02:00+02:00", datetime(2026, 5, 30, tzinfo=UTC)),
    ],
)
def test_windows(length, since, begin):
    assert window_of(length, since, None, NOW) == (begin, NOW)


@pytest.mark.parametrize(
    ("greater", "now", "worse"),
    [
        (True, (0.2, 0.3), True),
        (True, (0.3, 0.45), False),
        (True, (0.7, 0.8), False),
        (False, (0.7, 0.8), True),
        (False, (0.2, 0.3), False),
        (True, (float("nan"), float("nan")), False),
    ],
)
def test_a_metric_is_worse_when_the_intervals_are_apart(greater, now, worse):
    before = {"low": 0.4, "high": 0.6, "greater_is_better": greater}
    assert is_worse({"low": now[0], "high": now[1]}, before) is worse


def test_several_projects_are_watched_in_one_process_whatever_becomes_of_one(in_service):
    rows = last_week(examples_of(n_customers=150, n_terminals=150, seed=6)).head(300)
    serve(in_service, rows)
    (reports(in_service) / "latest.json").unlink(missing_ok=True)
    result = run("--pipeline", "stock_market_prediction", "--pipeline", PROJECT)
    assert result.exit_code == 2, result.output
    assert "stock_market_prediction has no champion" in result.output
    assert json.loads((reports(in_service) / "latest.json").read_text())["n_rows"] == rows.height


def test_an_option_for_one_project_is_refused_with_several(in_service, tmp_path):
    result = run("--pipeline", "stock_market_prediction", "--batch", str(tmp_path), "--version", "1")
    assert result.exit_code == 2
    assert "--batch and --version cannot be meant for 2 projects" in result.output


def test_the_gravest_status_is_the_commands():
    assert sorted([2, 10, 0, 3], key=_gravity) == [0, 3, 10, 2]
