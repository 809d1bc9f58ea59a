"""Dagster's definitions: a job and a calendar for each project; one monitoring job, and one sensor for each signal.

Dagster provides the clock, the queue, the logs and the pages. :mod:`modelyard.retraining.decision` decides whether to
retrain, and :mod:`modelyard.retraining.retrain` does it once, however many calendars and sensors request it.
"""

import logging
import os
from collections.abc import Iterator, Sequence

import dagster as dg

from modelyard.errors import ALARM_EXIT_STATUS, DataContractError
from modelyard.projects import load_project, project_names
from modelyard.retraining.decision import Trigger
from modelyard.retraining.due_times import with_jitter
from modelyard.retraining.policy import Reason, retraining_parameters
from modelyard.retraining.retrain import RetrainingError, give_up, kedro, retrain
from modelyard.retraining.run_requests import KEY_TAG, PID_TAG, job_name, op_name, requests
from modelyard.retraining.scheduler import PROJECT_TAG, RETRAINING_TAGS
from modelyard.retraining.signals import champions
from modelyard.startup import telemetry

telemetry.switch_off()
logger = logging.getLogger(__name__)

LOOK_EVERY_S = 30
_WATCH = "watch"
_ANSWERS = (0, ALARM_EXIT_STATUS, DataContractError.exit_code)
"""Exit statuses of ``kedro monitor`` that are no failures: nothing alarming, an alarm, nothing served."""


def definitions(names: Sequence[str]) -> dg.Definitions:
    """Returns jobs, calendars and sensors of the named projects.

    A project that cannot be imported is logged and left out, so that the others are still retrained.
    """
    calendars, jobs = [], {}
    for name in names:
        try:
            cron = load_project(name).schedule
        except Exception:  # whatever stands in a project's modules
            logger.exception("the project %s cannot be imported and is not retrained", name)
            continue
        jobs[name] = retraining_job(name)
        calendars.append(_calendar(name, cron, jobs[name]))
    watch = monitoring_job()
    sensors = [
        _sensor("drift", jobs, ("drift",), "Requests a retraining of each project whose last window drifted."),
        _sensor("new_data", jobs, ("new_data",), "Requests a retraining of each project whose data are new."),
        _sensor(
            "missed", jobs, ("schedule",), "Requests the retrainings that a calendar missed or a kill interrupted."
        ),
    ]
    return dg.Definitions(
        jobs=[*jobs.values(), watch], schedules=[*calendars, _hourly(watch)], sensors=sensors if jobs else []
    )


def retraining_job(name: str) -> dg.JobDefinition:
    """Returns the job ``retrain_<project>``: one step, retried with growing pauses; its last failure is an alert."""
    params = retraining_parameters()

    @dg.op(
        name=op_name(name),
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
        name=job_name(name),
        description=f"kedro run --pipeline={name}, then the promotion policy.",
        tags={PROJECT_TAG: name, **RETRAINING_TAGS},
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        run()

    return job


def monitoring_job() -> dg.JobDefinition:
    """Returns the job ``monitor``, which makes the verdicts that the drift sensor reads, in one process for all."""

    @dg.op(
        name=_WATCH,
        config_schema={"projects": dg.Field([str], default_value=[], is_required=False)},
        out=dg.Out(dg.Nothing),
    )
    def watch(context: dg.OpExecutionContext) -> None:
        context.instance.add_run_tags(context.run_id, {PID_TAG: str(os.getpid())})
        names = context.op_config["projects"] or watched_projects()
        if not names:
            context.log.info("no project has a champion")
            return
        status = kedro(["monitor", *(f"--pipeline={name}" for name in names)], context.log.info)
        if status not in _ANSWERS:
            raise dg.Failure(f"kedro monitor ended with status {status}")

    @dg.job(
        name="monitor",
        description="kedro monitor for every project with a champion.",
        tags={PROJECT_TAG: _WATCH},
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        watch()

    return job


def watched_projects() -> list[str]:
    """Returns the projects with a champion, sorted."""
    return sorted(set(champions()) & set(project_names()))


def _hourly(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=_WATCH,
        job=job,
        cron_schedule="10 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Runs kedro monitor for all projects with a champion, every hour.",
    )
    def hourly() -> dg.RunRequest | dg.SkipReason:
        names = watched_projects()
        if not names:
            return dg.SkipReason("no project has a champion")
        return dg.RunRequest(run_config={"ops": {_WATCH: {"config": {"projects": names}}}})

    return hourly


def _calendar(name: str, cron: str, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{name}_calendar",
        job=job,
        cron_schedule=with_jitter(cron, name),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"PROJECT.schedule, {cron}, with the minute derived from the project's name.",
    )
    def calendar(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        yield from requests(context.instance, [name], ("schedule",))

    return calendar


def _sensor(
    kind: str, jobs: dict[str, dg.JobDefinition], reasons: Sequence[Reason], description: str
) -> dg.SensorDefinition:
    @dg.sensor(
        name=kind,
        jobs=list(jobs.values()),
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        for one in requests(context.instance, list(jobs), reasons):
            if isinstance(one, dg.RunRequest):
                # Dagster's page shows the cursor: the last request.
                context.update_cursor(f"{one.tags[PROJECT_TAG]} {one.tags[KEY_TAG]}")
            yield one

    return sensor


DEFINITIONS = definitions(project_names())
