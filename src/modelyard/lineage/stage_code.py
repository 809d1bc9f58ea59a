"""Finds the modules and parameters on which a stage's outputs depend, without importing the modules.

DVC tracks files, not imports. ``python -m modelyard.lineage.stage_code`` therefore writes, for each stage of each
project, the list of these modules with their digests, and the values of its parameters, into
``data/00_code/<project>/<stage>.txt``; dvc.yaml names the lists as dependencies. A list is plain text, so the
difference of two shows why a stage ran again.

Nothing is listed by hand: dvc.yaml gives the nodes of a stage; the lifecycle gives each node's function, datasets and
parameters; the catalog gives the types of these datasets; and the fields of the project's record that these modules
read give the project modules that they call.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modelyard.files import atomic_file, sha256_of_file
from modelyard.lineage.imports import closure
from modelyard.lineage.record_fields import fields_read, rooms
from modelyard.lineage.stage_nodes import StageNode, dataset_modules, lifecycle_nodes, stages
from modelyard.paths import data_directory, repository
from modelyard.projects import project_names


def stage_names() -> tuple[str, ...]:
    """Returns the stages of dvc.yaml that run a part of the lifecycle."""
    return tuple(stages(repository() / "dvc.yaml"))


def stage_modules(project: str, stage: str) -> list[Path]:
    """Returns the modules that a stage of dvc.yaml runs for ``project``, sorted."""
    return _modules(project, _nodes(stage))


def model_modules(project: str) -> list[Path]:
    """Returns the modules that any node of the lifecycle runs for ``project``, sorted."""
    return _modules(project, lifecycle_nodes(_lifecycle()).values())


def stage_parameters(project: str, stage: str) -> dict[str, Any]:
    """Returns the parameter groups that a stage reads with their values in ``conf/base`` ({} if it has none)."""
    configured = _configured(project)
    groups = {group for node in _nodes(stage) for group in node.groups}
    return {group: configured.get(group) or {} for group in sorted(groups)}


def listing(files: Iterable[Path], parameters: Mapping[str, Any] | None = None) -> str:
    """Returns one line for each module, its digest and its path, and one for each group of parameters."""
    lines = [f"{sha256_of_file(file)}  {file.relative_to(repository()).as_posix()}" for file in files]
    lines += [f"params:{name}  {json.dumps(values, sort_keys=True)}" for name, values in (parameters or {}).items()]
    return "".join(f"{line}\n" for line in lines)


def write_listings() -> None:
    """Writes the list of each stage of each project; a list without changes is not rewritten."""
    for project in project_names():
        for stage in stage_names():
            path = data_directory() / "00_code" / project / f"{stage}.txt"
            text = listing(stage_modules(project, stage), stage_parameters(project, stage))
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(path) as temporary:
                    temporary.write_text(text, encoding="utf-8")


def _modules(project: str, nodes: Iterable[StageNode]) -> list[Path]:
    folder, nodes = repository() / "pipelines" / project, list(nodes)
    datasets = {dataset for node in nodes for dataset in node.datasets}
    catalog = repository() / "conf" / "base" / "catalog.yml"
    spine = closure({node.module for node in nodes} | dataset_modules(datasets, catalog))
    fields = {field for file in spine for field in fields_read(file)}
    # pipeline.py counts as a file only: its record names the functions of all stages, so its imports are not followed.
    return sorted(spine | closure(rooms(folder, fields)) | {folder / "pipeline.py", _lifecycle()})


def _nodes(stage: str) -> list[StageNode]:
    known = lifecycle_nodes(_lifecycle())
    return [known[node] for node in stages(repository() / "dvc.yaml")[stage]]


def _lifecycle() -> Path:
    return repository() / "src" / "modelyard" / "lifecycle.py"


def _configured(project: str) -> dict[str, Any]:
    import yaml

    path = repository() / "conf" / "base" / project / "parameters.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    values: dict[str, Any] = (content or {}).get(project) or {}
    return values


if __name__ == "__main__":
    write_listings()
