"""The projects: every folder of ``pipelines/`` that has a ``pipeline.py``; found by name, imported on demand."""

import importlib
from difflib import get_close_matches
from typing import TYPE_CHECKING

from modelyard.errors import ConfigurationError
from modelyard.paths import repository

if TYPE_CHECKING:
    from modelyard.project import Project


def project_names() -> list[str]:
    """Returns the names of all projects, sorted, read from the folders' names without importing any of them."""
    return sorted(path.parent.name for path in (repository() / "pipelines").glob("*/pipeline.py"))


def check_project_name(name: str) -> None:
    """Checks that there is a project called ``name``.

    Raises:
        ConfigurationError: There is none; the nearest name is proposed.
    """
    names = project_names()
    if name not in names:
        near = get_close_matches(name, names, n=1)
        raise ConfigurationError(
            f"There is no project '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            where=str(repository() / "pipelines"),
            way_out="kedro registry list",
        )


def load_project(name: str) -> "Project":
    """Returns the record of the project ``name``; imports only ``pipelines.<name>``.

    Raises:
        ConfigurationError: There is no such project.
    """
    check_project_name(name)
    project: Project = importlib.import_module(f"pipelines.{name}.pipeline").PROJECT
    return project
