"""Copies tracking journals to MLflow: ``python -m modelyard.tracking.writer <journal>``.

The writer follows its own journal until the run has ended, then copies the journals that killed runs left behind. A
state file holds its position after each batch, so a killed writer resumes where it stopped; runs and trials carry a tag
by which they are found again, so nothing is created twice.
"""

import fcntl
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from modelyard.errors import BusyError, StorageError
from modelyard.files import write_text
from modelyard.tracking.journal import state_file
from modelyard.tracking.mlflow_store import client, experiment_id, readable_failures

if TYPE_CHECKING:
    from mlflow import MlflowClient

_POLL_S = 0.2
_RETRY_S = 1.0
_SESSION_TAG = "modelyard.session"
_TRIAL_TAG = "modelyard.trial"
_PARAM_VALUE_LIMIT = 6000  # MLflow refuses longer values

Event = dict[str, Any]


def main(own: Path) -> None:
    """Copies the journal ``own``, then the journals that killed runs have left in its folder.

    After an error (a locked database, a full disk) it retries as long as the run lives, and once after its end; the
    rest stays in the journal for the next run's writer.
    """
    while True:
        has_ended = not own.exists() or _is_complete(own)
        try:
            with readable_failures():
                _bring(own)
            return
        except (BusyError, StorageError):
            if has_ended:
                raise
            time.sleep(_RETRY_S)


def _bring(own: Path) -> None:
    store = client()
    _follow(store, own)
    for other in sorted(own.parent.glob("*.jsonl")):
        if _is_complete(other):
            _follow(store, other)


def _shortened(value: str) -> str:
    """Returns a parameter's value cut to MLflow's limit, with a note; the run record holds the whole value."""
    if len(value) <= _PARAM_VALUE_LIMIT:
        return value
    mark = f" … ({len(value):,} characters, whole in run_record.json)"
    return value[: _PARAM_VALUE_LIMIT - len(mark)] + mark


def _follow(store: "MlflowClient", journal: Path) -> None:
    try:
        with FileLock(f"{journal}.lock", timeout=0):
            if journal.exists():
                _write_to_end(store, journal)
    except Timeout:
        return  # another writer has it


def _write_to_end(store: "MlflowClient", journal: Path) -> None:
    state = _load_state(journal)
    while True:
        ended = _is_complete(journal)  # checked before reading, so that no line is missed in between
        events, offset = _read(journal, state["offset"])
        for event in events:
            _write(store, journal.stem, state, event)
        if events:
            state["offset"] = offset
            write_text(state_file(journal), json.dumps(state))
        if ended:
            if state["run_id"] and not state["finished"]:
                store.set_terminated(state["run_id"], "KILLED")
            journal.unlink()
            state_file(journal).unlink(missing_ok=True)
            Path(f"{journal}.lock").unlink(missing_ok=True)
            return
        time.sleep(_POLL_S)


_DATASET_DIGEST = 36
"""Characters of a digest that MLflow keeps."""


def _load_state(journal: Path) -> dict[str, Any]:
    if state_file(journal).exists():
        state: dict[str, Any] = json.loads(state_file(journal).read_text())
        return state
    return {"offset": 0, "run_id": None, "experiment_id": None, "finished": False}


def _is_complete(journal: Path) -> bool:
    """Whether no process holds the journal open for writing."""
    with journal.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _read(journal: Path, offset: int) -> tuple[list[Event], int]:
    with journal.open("rb") as file:
        file.seek(offset)
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1]  # a kill may cut the last line short
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole)


def _write(store: "MlflowClient", session: str, state: dict[str, Any], event: Event) -> None:
    if event["event"] == "start":
        _start(store, session, state, event)
        return
    run = state["run_id"]
    match event["event"]:
        case "params":
            _log_params(store, run, event["values"])
        case "metrics":
            for name, value in event["values"].items():
                store.log_metric(run, name, value, timestamp=event["at"], step=event["step"])
        case "tags":
            for name, value in event["values"].items():
                store.set_tag(run, name, value)
        case "dataset":
            _log_dataset(store, run, event)
        case "artifact":
            path = Path(event["path"])
            if path.is_dir():
                store.log_artifacts(run, str(path), event["folder"] or None)
            elif path.exists():
                store.log_artifact(run, str(path), event["folder"] or None)
        case "trial":
            _log_trial(store, state, event)
        case "finish":
            store.set_terminated(run, event["status"], end_time=event["at"])
            state["finished"] = True


def _start(store: "MlflowClient", session: str, state: dict[str, Any], event: Event) -> None:
    experiment = experiment_id(store, event["experiment"])
    found = store.search_runs([experiment], f"tags.`{_SESSION_TAG}` = '{session}'", max_results=1)
    if found:
        state["run_id"] = found[0].info.run_id
    else:
        tags = {**event["tags"], _SESSION_TAG: session}
        run = store.create_run(experiment, start_time=event["at"], tags=tags, run_name=event["run_name"])
        state["run_id"] = run.info.run_id
    state["experiment_id"] = experiment


def _log_params(store: "MlflowClient", run: str, values: dict[str, str]) -> None:
    from mlflow.entities import Param

    params = [Param(name, _shortened(value)) for name, value in values.items()]
    for start in range(0, len(params), 100):  # MLflow's limit for one batch
        store.log_batch(run, params=params[start : start + 100])


def _log_dataset(store: "MlflowClient", run: str, event: Event) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    described = Dataset(
        name=event["name"],
        digest=event["digest"][:_DATASET_DIGEST],
        source_type=event["source"],
        source=json.dumps({"source": event["source"]}),
    )
    store.log_inputs(run, datasets=[DatasetInput(described, [InputTag("mlflow.data.context", "training")])])


def _log_trial(store: "MlflowClient", state: dict[str, Any], event: Event) -> None:
    trial = event["trial"]
    key = f"{trial['study']}#{trial['number']}"
    found = store.search_runs([state["experiment_id"]], f"tags.`{_TRIAL_TAG}` = '{key}'", max_results=1)
    if found:
        store.set_tag(found[0].info.run_id, "mlflow.parentRunId", state["run_id"])
        return
    tags = {"mlflow.parentRunId": state["run_id"], _TRIAL_TAG: key, "state": trial["state"]}
    name = f"trial {trial['number']}"
    run = store.create_run(state["experiment_id"], start_time=event["at"], tags=tags, run_name=name).info.run_id
    _log_params(store, run, {name: str(value) for name, value in trial["params"].items()})
    for step, value in trial.get("reports") or []:
        store.log_metric(run, "valid", value, timestamp=event["at"], step=step)
    if trial["value"] is not None:
        store.log_metric(run, "objective", trial["value"], timestamp=event["at"])
    store.set_terminated(run, "FAILED" if trial["state"] == "FAIL" else "FINISHED", end_time=event["at"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
