"""Kedro hooks: one run per project at a time, checked parameters, tracking, and a summary at the end."""

import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from modelyard.back_ends import environment as back_ends
from modelyard.errors import BusyError, ConfigurationError, StorageError
from modelyard.files import writing
from modelyard.paths import data_directory
from modelyard.projects import load_project, project_names
from modelyard.tracking import journal as tracking

if TYPE_CHECKING:
    from filelock import FileLock
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)

_LOCK_WAIT_S = float(os.environ.get("MODELYARD_LOCK_WAIT_S", "3600"))


class BackEndHook:
    """Checks that the servers in the environment's ``back_ends.yml`` are reachable, before anything is run."""

    @hook_impl
    def after_context_created(self, context: "KedroContext") -> None:
        """Checks the servers and sets the variables that hold their addresses; without the file, all is local."""
        from kedro.config import MissingConfigException

        try:
            demanded = context.config_loader["back_ends"]
        except MissingConfigException:
            return
        back_ends.configure(demanded)


class RunLockHook:
    """Allows one run of a project at a time: a second one logs a warning and waits."""

    def __init__(self) -> None:
        self._locks: list[FileLock] = []

    @hook_impl
    def before_pipeline_run(self, pipeline: "Pipeline") -> None:
        """Takes the lock of each project in the pipeline; the operating system frees them however the run ends."""
        from filelock import FileLock, Timeout

        for project in _projects_in(pipeline):
            path = data_directory() / "locks" / f"{project}.lock"
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = FileLock(path)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    logger.warning("another run of %s is under way; waiting for it to end", project)
                    self._wait(lock, project)
            self._locks.append(lock)

    @staticmethod
    def _wait(lock: "FileLock", project: str) -> None:
        from filelock import Timeout

        try:
            lock.acquire(timeout=_LOCK_WAIT_S)
        except Timeout as error:
            raise BusyError(
                f"Another run of {project} has not ended after {_LOCK_WAIT_S:g} s.",
                where=str(lock.lock_file),
                way_out="let it end, or stop it; set MODELYARD_LOCK_WAIT_S to wait longer",
            ) from error

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Frees the locks."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Frees the locks."""
        self._release()

    def _release(self) -> None:
        while self._locks:
            self._locks.pop().release()


class ParameterHook:
    """Gives a parameter group that no file mentions its defaults, and rejects a group that no node reads."""

    @hook_impl
    def after_context_created(self, context: "KedroContext") -> None:
        """Reads the parameters of the projects that are to run, and of no other, and adds the groups without values.

        With 29 projects, reading all of their files would take longer than the rest of Kedro's start.
        """
        from kedro.config import MissingConfigException
        from kedro.framework.project import pipelines

        requested = [name for name in pipelines._requested_pipelines or [] if name in project_names()]
        loader: Any = context.config_loader
        if requested and Path(loader.conf_source).is_dir():  # conf_source may also be an archive
            _check_folders(loader)
            folders = [f"{name}/**/parameters*" for name in requested]
            loader.config_patterns["parameters"] = ["parameters*", "parameters*/**", *folders]
        try:
            parameters = loader["parameters"]
        except MissingConfigException:  # no file has parameters
            parameters = dict(loader.runtime_params or {})
        for name in requested or project_names():
            groups = parameters[name] = parameters.get(name) or {}
            for group in _groups_read(pipelines[name], name):
                if groups.get(group) is None:
                    groups[group] = {}
        loader["parameters"] = parameters

    @hook_impl
    def before_pipeline_run(self, pipeline: "Pipeline", catalog: "CatalogProtocol[Any, Any]") -> None:
        """Compares the configured groups of each project in the pipeline with those its nodes read."""
        from kedro.framework.project import pipelines

        parameters = catalog.load("parameters")
        if not _projects_in(pipeline):
            return
        _check_names(parameters, project_names(), "projects", "conf/ or --params")
        for project in _projects_in(pipeline):
            # A group is valid too if only nodes that --to-nodes left out read it.
            read = _groups_read(pipeline, project) | _groups_read(pipelines[project], project)
            if read:
                _check_names(parameters.get(project, {}), sorted(read), f"groups of {project}", f"{project} parameters")


class TrackingHook:
    """One MLflow run for each ``kedro run``: parameters, metrics, documents, lineage."""

    def __init__(self) -> None:
        self._is_failed = False

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: "Pipeline", catalog: "CatalogProtocol[Any, Any]"
    ) -> None:
        """Starts the run. A pipeline of several projects is tracked as one run of its own experiment."""
        projects = _projects_in(pipeline)
        if not projects:
            return
        from modelyard.lineage.run_context import commit, is_dirty
        from modelyard.tracking.mlflow_store import check_local_database

        check_local_database()
        experiment = projects[0] if len(projects) == 1 else "modelyard"
        os.environ["MODELYARD_ENVIRONMENT"] = run_params["env"] or "local"
        tracking.start(
            f"{run_params['run_id'].replace(':', '')}-{os.getpid()}",
            experiment=experiment,
            run_name=f"{experiment} {run_params['run_id'][:16]}",
            tags={
                "mlflow.source.git.commit": commit(),
                "is_dirty": str(is_dirty()).lower(),
                "environment": run_params["env"] or "local",
            },
        )
        for project in projects:
            values = catalog.load("parameters").get(project, {})
            tracking.log_params(dict(_flatten(values, "" if len(projects) == 1 else project)))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Logs validation metrics, test metrics and digests as soon as the datasets that hold them are saved."""
        name = dataset_name.rpartition(".")[2]
        if name == "train_summary":
            primary = load_project(dataset_name.rpartition(".")[0]).metrics.primary
            tracking.log_metrics({f"valid.{primary}": data["valid"][primary]})
        elif name == "evaluation":
            _log_evaluation(data)
        elif name == "run_record":
            kept = (
                "source",
                "data_digest",
                "contract_digest",
                "feature_schema_digest",
                "code_digest",
                "lock_digest",
                "precision",
            )
            tracking.set_tags({key: data[key] for key in kept} | {"device": data["device"]["name"]})
            is_public = data["source"] == "public"
            name = data["parameters"]["ingest"].get("dataset") if is_public else f"{data['source']} records"
            tracking.log_dataset(name or "public records", data["source"], data["data_digest"])
        elif name == "model_version":
            tracking.set_tags({"registration_digest": data.digest})

    @hook_impl
    def after_pipeline_run(self, pipeline: "Pipeline") -> None:
        """Attaches the reports and ends the run."""
        for project in _projects_in(pipeline):
            tracking.log_artifact(data_directory() / "08_reporting" / project, "reports")
        tracking.finish("FINISHED")

    @hook_impl
    def on_pipeline_error(self, error: Exception, pipeline: "Pipeline") -> None:
        """Ends the run as failed, with the reason."""
        with suppress(StorageError):  # the user must see why the run failed, not that the journal failed too
            tracking.set_tags({"error": str(error)[:500]})
            tracking.finish("FAILED")


class SummaryHook:
    """Logs each stage while the run works, prints a summary at its end and removes temporary work folders."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    @hook_impl
    def before_dataset_loaded(self, node: "Node") -> None:
        """Starts the clock of a stage when its first input is loaded."""
        if node.name not in self._started:
            self._started[node.name] = time.perf_counter()
            logger.info("▸ %s", node.name)

    @hook_impl
    def before_node_run(self, node: "Node") -> None:
        """Starts the clock of a stage that has no inputs."""
        self.before_dataset_loaded(node)

    @hook_impl
    def after_node_run(self, node: "Node") -> None:
        """Records the stage's time so far."""
        self._seconds[node.name] = time.perf_counter() - self._started[node.name]

    @hook_impl
    def after_dataset_saved(self, node: "Node") -> None:
        """Records the time again: saving an output may publish features or register a version, which takes long."""
        self.after_node_run(node)

    @hook_impl
    def after_pipeline_run(self, pipeline: "Pipeline", catalog: "CatalogProtocol[Any, Any]") -> None:
        """Prints the summary, and removes the checkpoints that only a killed run needs."""
        import shutil

        from modelyard.run_summary import show

        for project in _projects_in(pipeline):
            shutil.rmtree(data_directory() / "06_models" / project / "work" / "train", ignore_errors=True)
            show(project, self._seconds, catalog, pipeline)


HOOKS = (BackEndHook(), RunLockHook(), ParameterHook(), TrackingHook(), SummaryHook())


def _projects_in(pipeline: "Pipeline") -> list[str]:
    return sorted({node.namespace.split(".")[0] for node in pipeline.nodes if node.namespace})


def _groups_read(pipeline: "Pipeline", project: str) -> set[str]:
    prefix = f"params:{project}."
    return {name.removeprefix(prefix).split(".")[0] for name in pipeline.inputs() if name.startswith(prefix)}


def _check_folders(loader: Any) -> None:
    """Refuses a folder of parameters that belongs to no project, and would therefore not be read."""
    for environment in (loader.base_env, loader.env or loader.default_run_env):
        found = Path(loader.conf_source, environment).glob("*/parameters*")
        names = sorted({file.parent.name for file in found if not file.parent.name.startswith("parameters")})
        _check_names(names, project_names(), "projects", f"{loader.conf_source}/{environment}")


def _check_names(given: Iterable[str], known: list[str], what: str, where: str) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            raise ConfigurationError(
                f"Unknown parameter '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
                where=where,
                way_out=f"the {what} are {', '.join(known)}",
            )


def _log_evaluation(evaluation: dict[str, Any]) -> None:
    """Logs what fits on one screen of MLflow: the shown metrics, and what the primary one is compared with.

    All metrics with their intervals are in the artifact ``metrics.json``.
    """
    primary = evaluation["primary"]
    metric = evaluation["metrics"][primary]
    found = {f"test.{name}": evaluation["metrics"][name]["value"] for name in evaluation["shown"]}
    found |= {f"test.{primary}.low": metric["low"], f"test.{primary}.high": metric["high"]}
    found[f"floor.{primary}"] = evaluation["floor"][primary]
    if evaluation["champion"]:
        found[f"champion.{primary}"] = evaluation["champion"][primary]
    tracking.log_metrics(found)
    tracking.set_tags({"gate": "passed" if evaluation["gate"]["passed"] else "failed"})


def _flatten(values: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yields ``("a.b", 1)`` for ``{"a": {"b": 1}}``; parameter models yield all their fields, defaults included."""
    if hasattr(values, "model_dump"):
        values = values.model_dump(mode="json")
    if not isinstance(values, dict):
        yield prefix, values
        return
    for name, value in values.items():
        yield from _flatten(value, f"{prefix}.{name}" if prefix else str(name))
