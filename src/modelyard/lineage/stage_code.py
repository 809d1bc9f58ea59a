"""Which modules decide what a stage makes: its own modules and all that they import, found without importing any.

DVC knows files, not imports. ``python -m modelyard.lineage.stage_code`` therefore writes, for each stage of each
project, the list of these modules with their digests into ``data/00_code/<project>/<stage>.txt``; dvc.yaml names the
lists as dependencies. A list is plain text, so the difference of two says which module made a stage run again.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from modelyard.files import atomic_file, sha256_of_file
from modelyard.paths import data_directory, repository
from modelyard.projects import project_names

STAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ingest": (("data",), ("stages.ingest", "catalog.tables")),
    "validate": (("data",), ("stages.validate", "catalog.tables", "catalog.documents")),
    "featurize": (("features",), ("stages.examples", "catalog.features", "catalog.tables")),
    # Training reports validation metrics, so predict() and score() in evaluate.py belong to it.
    "train": (("model", "train", "evaluate"), ("stages.train", "catalog.models")),
    "tune": (("model", "train", "evaluate"), ("stages.tune", "catalog.models")),
    "evaluate": (
        ("evaluate", "figures", "serve"),
        ("stages.evaluate", "stages.register", "stages.monitor", "catalog.model_versions", "lineage.run_context"),
    ),
}
"""Stage to the project's rooms and the spine's modules where its code begins."""

_DOTTED = re.compile(r"(?:modelyard|pipelines)(?:\.\w+)+")


def stage_modules(project: str, stage: str) -> list[Path]:
    """The modules that ``stage`` of ``project`` runs, sorted.

    Imports are followed wherever they stand, also inside functions, and also where a string names a module by its
    dotted path (an offline store, a worker's entry point). Imports for type checking only are not followed.
    """
    rooms, spine = STAGES[stage]
    folder = repository() / "pipelines" / project
    todo = [path for room in rooms if (path := folder / f"{room}.py").exists()]  # not every project has features
    todo += [file for module in spine if (file := _file_of(f"modelyard.{module}"))]
    found: set[Path] = set()
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo.extend(_imported(file))
    # The record says which functions are run; what it imports beyond them belongs to other stages.
    found.add(folder / "pipeline.py")
    found.add(repository() / "src" / "modelyard" / "lifecycle.py")
    return sorted(found)


def model_modules(project: str) -> list[Path]:
    """The modules that any stage of ``project`` runs, sorted."""
    return sorted({file for stage in STAGES for file in stage_modules(project, stage)})


def listing(files: list[Path]) -> str:
    """One line for each module: its digest and its path in the repository."""
    return "".join(f"{sha256_of_file(file)}  {file.relative_to(repository()).as_posix()}\n" for file in files)


def write_listings() -> None:
    """Writes the list of each stage of each project; a list that is as it was is left alone."""
    for project in project_names():
        for stage in STAGES:
            path = data_directory() / "00_code" / project / f"{stage}.txt"
            text = listing(stage_modules(project, stage))
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(path) as temporary:
                    temporary.write_text(text, encoding="utf-8")


def _file_of(module: str) -> Path | None:
    """The file of a module of ours; None for a name inside a module, and for what is not ours."""
    if module.split(".", 1)[0] not in ("modelyard", "pipelines"):
        return None
    base = repository() / ("src" if module.startswith("modelyard") else ".") / Path(*module.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


@cache
def _imported(file: Path) -> tuple[Path, ...]:
    """The modules of ours that a file names."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    named = {_file_of(name) for name in _names(tree)}
    return tuple(sorted(path for path in named if path))


def _names(tree: ast.AST) -> Iterator[str]:
    """Dotted names of imports and of strings in a tree, a name inside a module with and without its last part."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Constant):
            name = node.value.split(":")[0] if isinstance(node.value, str) else ""
            if _DOTTED.fullmatch(name):
                yield from (name, name.rpartition(".")[0])
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
            todo.extend(ast.iter_child_nodes(node))


if __name__ == "__main__":
    write_listings()
