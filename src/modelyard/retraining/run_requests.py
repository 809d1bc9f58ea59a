"""Run requests of calendars and sensors: one look at all projects, and one run for each open trigger."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from modelyard.retraining import history
from modelyard.retraining.decision import should_retrain
from modelyard.retraining.policy import Reason, retraining_parameters
from modelyard.retraining.retrain import give_up, options
from modelyard.retraining.scheduler import PROJECT_TAG
from modelyard.retraining.signals import situations

logger = logging.getLogger(__name__)

KEY_TAG, PID_TAG = "modelyard/trigger", "modelyard/pid"
_ACTIVE = (*IN_PROGRESS_RUN_STATUSES, dg.DagsterRunStatus.QUEUED)
_PID_GRACE_S = 600
"""How long a started run may lack its process id, which is the first thing that its step records."""
_CANCELLED_RUNS = 100
"""Number of the latest cancelled runs that one look reads; the first look after a cancellation records it."""


def job_name(project: str) -> str:
    """Returns the name of a project's retraining job."""
    return f"retrain_{project}"


def op_name(project: str) -> str:
    """Returns the name of that job's only step."""
    return f"run_{project}"


def requests(
    instance: dg.DagsterInstance, names: Sequence[str], reasons: Sequence[Reason]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Yields the run requests of a calendar or sensor, or why there are none.

    Args:
        instance: The Dagster instance whose runs are looked at.
        names: The projects.
        reasons: The kinds of trigger to look for.
    """
    close_dead_runs(instance)
    _close_cancelled_triggers(instance)
    running = {run.tags.get(PROJECT_TAG, "") for run in instance.get_runs(dg.RunsFilter(statuses=list(_ACTIVE)))}
    params = retraining_parameters()
    is_any = False
    for name, situation in situations(names, history.clock(), options=options(), running=running).items():
        decision = should_retrain(situation, params)
        for trigger in decision.hopeless:
            give_up(name, [trigger], f"Its process vanished every time ({trigger.why}).", event="given_up")
        for trigger in decision.triggers:
            if trigger.reason in reasons:
                is_any = True
                yield _request(instance, name, trigger)
    if not is_any:
        yield dg.SkipReason(f"nothing new for {', '.join(reasons)}")


def close_dead_runs(instance: dg.DagsterInstance) -> None:
    """Marks runs as failed whose process is gone: Dagster's launcher does not check, and the queue would wait."""
    statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    for record in instance.get_run_records(dg.RunsFilter(statuses=statuses)):
        if PROJECT_TAG in record.dagster_run.tags and _is_gone(record):
            instance.report_run_failed(record.dagster_run, "Its process is gone; its trigger stays open.")


def _request(instance: dg.DagsterInstance, name: str, trigger: Any) -> dg.RunRequest:
    # Dagster launches a run key once. Runs that were lost without an end in the journal leave room for another.
    attempt = instance.get_runs_count(dg.RunsFilter(job_name=job_name(name), tags={KEY_TAG: trigger.key}))
    return dg.RunRequest(
        job_name=job_name(name),
        run_key=f"{name}:{trigger.key}#{attempt}",
        run_config={"ops": {op_name(name): {"config": {"triggers": [trigger._asdict()]}}}},
        tags={PROJECT_TAG: name, KEY_TAG: trigger.key, "modelyard/why": trigger.why},
    )


def _is_gone(record: dg.RunRecord) -> bool:
    pid = record.dagster_run.tags.get(PID_TAG)
    if pid is None:
        return time.time() - (record.start_time or time.time()) > _PID_GRACE_S
    return not _is_alive(int(pid))


def _close_cancelled_triggers(instance: dg.DagsterInstance) -> None:
    """Records the triggers of runs that a person cancelled on Dagster's page, so that they are not started again."""
    cancelled = dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELED])
    for run in instance.get_runs(cancelled, limit=_CANCELLED_RUNS):
        name, key = run.tags.get(PROJECT_TAG), run.tags.get(KEY_TAG)
        if name is not None and key is not None and key not in history.read(name).handled:
            history.write(name, "cancelled", [key])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
