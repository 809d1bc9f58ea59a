"""The journal and its writer against a real SQLite MLflow store."""

import signal
import subprocess
import sys
import textwrap

import pytest

from modelyard.tracking import journal as tracking
from modelyard.tracking import writer
from modelyard.tracking.mlflow_store import client

pytestmark = pytest.mark.usefixtures("mlflow_database")


@pytest.fixture
def no_writer(monkeypatch):
    """The journal alone: the test plays the writer."""
    monkeypatch.setattr(tracking, "_start_writer", lambda path: None)


def runs(experiment):
    store = client()
    found = store.get_experiment_by_name(experiment)
    return store.search_runs([found.experiment_id], order_by=["attributes.start_time"]) if found else []


def log_some(session="s1"):
    tracking.start(session, experiment="toys", run_name="toys now", tags={"environment": "ci"})
    tracking.log_params({"fit.rounds": 3})
    for step in range(3):
        tracking.log_metric("valid.ap", step / 10, step)


def test_without_an_active_run_every_call_is_a_no_op():
    tracking.log_metric("a", 1.0)
    tracking.log_trial({"study": "s", "number": 0})
    assert tracking.run_id() is None
    tracking.finish("FINISHED")
    assert not tracking.journal_directory().exists()


def test_everything_that_a_run_logs_arrives_through_its_own_writer(tmp_path):
    report = tmp_path / "report.md"
    report.write_text("# card")
    log_some()
    run_id = tracking.run_id()
    tracking.log_artifact(report, "reports")
    tracking.log_trial(
        {"study": "a", "number": 0, "state": "COMPLETE", "value": 0.5, "params": {"x": 1}, "reports": [[0, 0.4]]}
    )
    tracking.finish("FINISHED")
    parent, child = sorted(runs("toys"), key=lambda run: "mlflow.parentRunId" in run.data.tags)
    assert parent.info.run_id == run_id
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"fit.rounds": "3"}
    assert [m.value for m in client().get_metric_history(run_id, "valid.ap")] == [0.0, 0.1, 0.2]
    assert client().list_artifacts(run_id, "reports")[0].path == "reports/report.md"
    assert child.data.tags["mlflow.parentRunId"] == run_id
    assert child.data.metrics == {"objective": 0.5, "valid": 0.4}
    assert not list(tracking.journal_directory().glob("*.jsonl"))


def test_a_killed_run_is_brought_in_by_the_next_writer_and_is_marked_killed(no_writer):
    code = textwrap.dedent(
        """
        import os, signal
        from modelyard.tracking import journal as tracking
        tracking._start_writer = lambda path: None  # the writer was killed too
        tracking.start("killed", experiment="toys", run_name="killed", tags={})
        tracking.log_metric("valid.ap", 0.25, 7)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    with (tracking.journal_directory() / "killed.jsonl").open("a") as journal:
        journal.write('{"event": "metrics", "val')  # the last line, cut short
    log_some("next")
    tracking.finish("FINISHED")
    writer.main(tracking.journal_directory() / "next.jsonl")
    by_name = {run.info.run_name: run for run in runs("toys")}
    assert by_name["killed"].info.status == "KILLED"
    assert by_name["killed"].data.metrics == {"valid.ap": 0.25}
    assert by_name["toys now"].info.status == "FINISHED"
    assert not list(tracking.journal_directory().glob("*.jsonl"))


def test_a_killed_writer_continues_and_makes_nothing_twice(no_writer):
    log_some()
    journal = tracking.journal_directory() / "s1.jsonl"
    store = client()
    state = writer._load_state(journal)
    events, _ = writer._read(journal, 0)
    writer._write(store, "s1", state, events[0])  # and is killed before it notes how far it came
    tracking.finish("FINISHED")
    writer.main(journal)
    assert [run.info.status for run in runs("toys")] == ["FINISHED"]


def test_a_resumed_study_moves_its_trials_under_the_new_run(no_writer):
    trial = {"study": "a", "number": 0, "state": "COMPLETE", "value": 0.5, "params": {}}
    for session in ("first", "second"):
        log_some(session)
        tracking.log_trial(trial)
        tracking.finish("FINISHED")
        writer.main(tracking.journal_directory() / f"{session}.jsonl")
    children = [run for run in runs("toys") if "mlflow.parentRunId" in run.data.tags]
    second = next(run for run in runs("toys") if run.data.tags.get("modelyard.session") == "second")
    assert [child.data.tags["mlflow.parentRunId"] for child in children] == [second.info.run_id]


def test_a_long_parameter_ends_with_a_mark_of_what_is_missing(no_writer):
    tracking.start("s1", experiment="toys", run_name="toys now", tags={})
    tracking.log_params({"fit.short": "x" * 6_000, "fit.long": "y" * 7_000})
    tracking.finish("FINISHED")
    writer.main(tracking.journal_directory() / "s1.jsonl")
    (run,) = runs("toys")
    assert run.data.params["fit.short"] == "x" * 6_000
    assert len(run.data.params["fit.long"]) == 6_000
    assert run.data.params["fit.long"].endswith("y … (7,000 characters, whole in run_record.json)")
