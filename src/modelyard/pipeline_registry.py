"""Kedro's pipelines: one for each project, imported when it is first used."""

import importlib
from typing import Any

from kedro.framework.project import pipelines as kedro_pipelines
from kedro.pipeline import Pipeline

from modelyard.errors import ConfigurationError
from modelyard.projects import check_project_name, project_names

DEFAULT = "__default__"


class _Projects(dict[str, Pipeline]):
    """A dictionary with the names of all projects; a project's module is imported when its pipeline is looked up.

    With 29 projects, importing all of them to run one, or to list their names, would cost half a minute.
    """

    def __init__(self) -> None:
        super().__init__({name: Pipeline([]) for name in [DEFAULT, *project_names()]})
        self._made: set[str] = set()

    def __getitem__(self, name: str) -> Pipeline:
        if name not in self._made:
            if name == DEFAULT:
                pipeline = sum((self[project] for project in project_names()), Pipeline([]))
            else:
                check_project_name(name)
                pipeline = importlib.import_module(f"pipelines.{name}").create_pipeline()
            self[name] = pipeline
            self._made.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except ConfigurationError:
            return default


def register_pipelines() -> dict[str, Pipeline]:
    """Returns every project's pipeline by name; ``__default__`` runs them all.

    Raises:
        ConfigurationError: The command line names a pipeline that no project has. (Kedro would turn a KeyError from
            here into "pipeline not found" without the nearest name.)
    """
    for name in kedro_pipelines._requested_pipelines or []:
        if name != DEFAULT:
            check_project_name(name)
    return _Projects()
