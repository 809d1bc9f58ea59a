"""Dagster's view: for each project a job, a calendar, and sensors for drift, new data and what was missed.

Dagster keeps the clock, the queue, the logs and the pages. What is to be done is decided by
:mod:`modelyard.retraining.decision`, and done once by :mod:`modelyard.retraining.retrain`, whichever of these asks.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from modelyard.projects import load_project, project_names
from modelyard.retraining import history
from modelyard.retraining.decision import Trigger, should_retrain
from modelyard.retraining.policy import Reason, retraining_parameters
from modelyard.retraining.retrain import RetrainingError, give_up, kedro, options, retrain
from modelyard.retraining.scheduler import PROJECT_TAG
from modelyard.retraining.signals import champion, situation
from modelyard.startup import telemetry

telemetry.switch_off()
logger = logging.getLogger(__name__)

KEY_TAG, PID_TAG = "modelyard/trigger", "modelyard/pid"
LOOK_EVERY_S = 30
_ALARMED, _NOTHING_SERVED = 10, 3
"""Exit statuses of ``kedro monitor`` that are answers, not failures."""

_ACTIVE = (*IN_PROGRESS_RUN_STATUSES, dg.DagsterRunStatus.QUEUED)
_PID_PATIENCE_S = 600
"""How long a run that has started may be without a process number, which its step notes first of all."""


def definitions(names: Sequence[str]) -> dg.Definitions:
    """Jobs, calendars and sensors of the named projects.

    A project that cannot be imported is logged and left out, so that the others are still retrained.
    """
    jobs: list[Any] = []
    schedules: list[Any] = []
    sensors: list[Any] = []
    for name in names:
        try:
            cron = load_project(name).schedule
        except Exception:  # whatever stands in a project's modules
            logger.exception("the project %s cannot be imported and is not retrained", name)
            continue
        job, watch = retraining_job(name), monitoring_job(name)
        jobs += [job, watch]
        schedules += [_calendar(name, cron, job), _hourly(name, watch)]
        sensors += [
            _sensor(name, job, "drift", ("drift",), "Asks for a retraining when the monitor's last window drifted."),
            _sensor(name, job, "new_data", ("new_data",), "Asks for a retraining when the source's data are new."),
            _sensor(name, job, "missed", ("schedule",), "Asks again for what the calendar missed, or a kill lost."),
        ]
    return dg.Definitions(jobs=jobs, schedules=schedules, sensors=sensors)


def retraining_job(name: str) -> dg.JobDefinition:
    """The job ``retrain_<project>``: one step, retried with growing pauses; then people are told."""
    params = retraining_parameters()

    @dg.op(
        name=f"run_{name}",
        config_schema={"triggers": dg.Field([dict], default_value=[], is_required=False)},
        retry_policy=dg.RetryPolicy(
            max_retries=params.max_retries, delay=params.retry_delay_s, backoff=dg.Backoff.EXPONENTIAL
        ),
        out=dg.Out(dg.Nothing),
    )
    def run(context: dg.OpExecutionContext) -> None:
        triggers = [Trigger(**trigger) for trigger in context.op_config["triggers"]]
        context.instance.add_run_tags(context.run_id, {PID_TAG: str(os.getpid())})
        try:
            outcome = retrain(name, triggers, context.log.info)
        except Exception as error:
            is_permanent = isinstance(error, RetrainingError) and error.is_permanent
            if is_permanent or context.retry_number >= params.max_retries:
                give_up(name, triggers, str(error))
                raise dg.Failure(str(error), allow_retries=False) from error
            raise
        context.log.info(outcome.why)

    @dg.job(
        name=f"retrain_{name}",
        description=f"kedro run --pipeline={name}, then the promotion policy.",
        tags={PROJECT_TAG: name},
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        run()

    return job


def monitoring_job(name: str) -> dg.JobDefinition:
    """The job ``monitor_<project>``: the verdict that the drift sensor reads."""

    @dg.op(name=f"watch_{name}", out=dg.Out(dg.Nothing))
    def watch(context: dg.OpExecutionContext) -> None:
        if champion(name) is None:
            context.log.info("nothing serves that could be watched")
            return
        status = kedro(["monitor", f"--pipeline={name}"], context.log.info)
        if status not in (0, _ALARMED, _NOTHING_SERVED):
            raise dg.Failure(f"kedro monitor ended with status {status}")

    @dg.job(
        name=f"monitor_{name}",
        description=f"kedro monitor --pipeline={name}",
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        watch()

    return job


def _hourly(name: str, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"{name}_watch",
        job=job,
        cron_schedule="10 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Looks at what was served, every hour.",
    )


def _calendar(name: str, cron: str, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{name}_calendar",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The project's PROJECT.schedule.",
    )
    def calendar(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        yield from requests(context.instance, name, ("schedule",))

    return calendar


def _sensor(
    name: str, job: dg.JobDefinition, kind: str, reasons: Sequence[Reason], description: str
) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{name}_{kind}",
        job=job,
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        for one in requests(context.instance, name, reasons):
            if isinstance(one, dg.RunRequest):
                context.update_cursor(one.tags[KEY_TAG])  # shown on the sensor's page: the last window or digest
            yield one

    return sensor


def requests(
    instance: dg.DagsterInstance, name: str, reasons: Sequence[Reason]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """What one calendar or sensor asks Dagster for.

    Args:
        instance: Knows the runs that wait or are under way.
        name: The project.
        reasons: The kinds of trigger to look at.
    """
    close_dead_runs(instance, name)
    _heed_cancelled_runs(instance, name)
    is_running = instance.get_runs_count(_runs(name, statuses=list(_ACTIVE))) > 0
    decision = should_retrain(
        situation(name, history.clock(), options=options(), is_running=is_running), retraining_parameters()
    )
    for trigger in decision.hopeless:
        give_up(name, [trigger], f"Its process vanished every time ({trigger.why}).", event="given_up")
    wanted = [trigger for trigger in decision.triggers if trigger.reason in reasons]
    if not wanted:
        yield dg.SkipReason(decision.why)
    for trigger in wanted:
        # Dagster launches a run key once. Runs that were lost without an end in the journal leave room for another.
        attempt = instance.get_runs_count(_runs(name, tags={KEY_TAG: trigger.key}))
        yield dg.RunRequest(
            run_key=f"{trigger.key}#{attempt}",
            run_config={"ops": {f"run_{name}": {"config": {"triggers": [trigger._asdict()]}}}},
            tags={PROJECT_TAG: name, KEY_TAG: trigger.key, "modelyard/why": trigger.why},
        )


def close_dead_runs(instance: dg.DagsterInstance, name: str) -> None:
    """Marks runs as failed whose process is gone; Dagster's own launcher does not look, and the queue would wait."""
    statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    for record in instance.get_run_records(_runs(name, statuses=statuses)):
        if _is_gone(record):
            instance.report_run_failed(record.dagster_run, "Its process is gone; what it was for is asked for again.")


def _is_gone(record: dg.RunRecord) -> bool:
    pid = record.dagster_run.tags.get(PID_TAG)
    if pid is None:
        return time.time() - (record.start_time or time.time()) > _PID_PATIENCE_S
    return not _is_alive(int(pid))


def _heed_cancelled_runs(instance: dg.DagsterInstance, name: str) -> None:
    """A person who ends a retraining on Dagster's page does not want it again at once."""
    handled = history.read(name).handled
    for run in instance.get_runs(_runs(name, statuses=[dg.DagsterRunStatus.CANCELED]), limit=20):
        key = run.tags.get(KEY_TAG)
        if key is not None and key not in handled:
            history.write(name, "cancelled", [key])


def _runs(name: str, **filters: Any) -> dg.RunsFilter:
    return dg.RunsFilter(job_name=f"retrain_{name}", **filters)


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


DEFINITIONS = definitions(project_names())
