"""Where a project lies: the same shelves below the repository, below new projects, below a broken copy."""

import atexit
import functools
import importlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipelines
import tests.pipelines
from modelyard.commands.new_project import KINDS, scaffold
from modelyard.paths import repository
from modelyard.project import Project


@dataclass(frozen=True)
class Shelves:
    """One project's shelves.

    Args:
        root: The folder that holds ``pipelines/``, ``conf/`` and ``tests/``.
        name: The project.
    """

    root: Path
    name: str

    @property
    def rooms(self) -> Path:
        """The folder of its code."""
        return self.root / "pipelines" / self.name

    @property
    def modules(self) -> list[Path]:
        """Its modules."""
        return sorted(self.rooms.glob("*.py"))

    def project(self) -> Project:
        """Its record; ``pipelines`` must have the root's folder in its path."""
        project: Project = importlib.import_module(f"pipelines.{self.name}.pipeline").PROJECT
        return project

    def configured(self, environment: str) -> dict[str, Any]:
        """Its parameters as Kedro reads them in an environment."""
        values: dict[str, Any] = _parameters(self.root / "conf", environment).get(self.name, {})
        return values


def all_shelves() -> list[Shelves]:
    """Every project of the repository, and a new one of each kind."""
    return [*repository_projects(), *new_projects()]


def repository_projects() -> list[Shelves]:
    """Every folder of ``pipelines/``, whatever is in it."""
    folders = (path for path in (repository() / "pipelines").iterdir() if path.is_dir())
    return [Shelves(repository(), name) for name in sorted(path.name for path in folders) if name != "__pycache__"]


@functools.cache
def new_projects() -> list[Shelves]:
    """What ``kedro new-project`` makes of each kind, importable, in a folder that goes with the process."""
    root = Path(tempfile.mkdtemp(prefix="new-projects-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    for kind in KINDS:
        scaffold(f"new_{kind}_project", f"New project, {kind}", root, kind)
    make_importable(root)
    return [Shelves(root, f"new_{kind}_project") for kind in KINDS]


def make_importable(root: Path) -> None:
    """Lets ``pipelines.<name>`` and ``tests.pipelines.<name>`` be found below ``root`` too."""
    pipelines.__path__.append(str(root / "pipelines"))
    tests.pipelines.__path__.append(str(root / "tests" / "pipelines"))


@functools.cache
def _parameters(conf: Path, environment: str) -> dict[str, Any]:
    from kedro.config import OmegaConfigLoader

    from modelyard.settings import CONFIG_LOADER_ARGS

    loader = OmegaConfigLoader(conf_source=str(conf), env=environment, **CONFIG_LOADER_ARGS)
    parameters: dict[str, Any] = loader["parameters"]
    return parameters
