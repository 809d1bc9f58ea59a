"""Rooms, names and imports: what can be seen without running a project."""

import ast
import functools
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from modelyard.paths import repository
from tests.contract.shelves import Shelves

ROOMS = (
    "README.md",
    "__init__.py",
    "data.py",
    "evaluate.py",
    "features.py",
    "model.py",
    "pipeline.py",
    "serve.py",
    "train.py",
)

NO_ANSWER = ("base", "common", "core", "helpers", "lib", "misc", "tools", "utils")
"""Names of modules that answer no question."""

HEAVY = ("torch", "xgboost", "mlflow", "great_expectations", "feast", "pandas", "sklearn", "matplotlib", "optuna")
"""Libraries whose import costs seconds; ``kedro run`` of one project must not wait for all of them."""

ENVIRONMENTS = ("base", "ci", "benchmark")

WITH_SECTIONS = ("ingest", "derive_features", "fit", "predict", "score")
"""Functions of the record that everybody reads first; they say what goes in and what comes out."""


def rooms_are_the_usual_ones(shelves: Shelves) -> list[str]:
    """A room that outgrows one sitting may have an annex, which the project's README names with its question."""
    found = {path.name: path for path in shelves.rooms.iterdir() if path.name != "__pycache__"}
    problems = [f"{name} is missing" for name in ROOMS if name not in found]
    card = found["README.md"].read_text(encoding="utf-8") if "README.md" in found else ""
    code = "".join(path.read_text(encoding="utf-8") for path in shelves.modules)
    for name, path in sorted(found.items()):
        if name in ROOMS:
            continue
        if path.suffix != ".py" or path.stem in NO_ANSWER:
            problems.append(f"{name} is no room: put its content where the question would be asked, or into modelyard")
        elif f"`{name}`" not in card:
            problems.append(
                f"{name} is no room, and the project's README.md does not say which question `{name}` answers"
            )
        elif not re.search(rf"import {path.stem}\b|{path.stem} import ", code):
            problems.append(f"{name} is imported by no room")
    return problems


def wiring_is_nothing_but_wiring(shelves: Shelves) -> list[str]:
    text = (shelves.rooms / "pipeline.py").read_text(encoding="utf-8")
    problems = [f"pipeline.py has {n} lines, more than 60" for n in [len(text.splitlines())] if n > 60]
    for node in ast.parse(text).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_record = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PROJECT"
        is_pipeline = isinstance(node, ast.FunctionDef) and node.name == "create_pipeline"
        if not (is_docstring or is_record or is_pipeline or isinstance(node, ast.Import | ast.ImportFrom)):
            problems.append(f"pipeline.py, line {node.lineno}: neither PROJECT nor create_pipeline()")
    return problems


def record_is_light_to_import(shelves: Shelves) -> list[str]:
    loaded = _imported(shelves.root).get(shelves.name)
    if loaded is None:
        return [f"pipelines.{shelves.name}.pipeline cannot be imported"]
    return [f"importing the record imports {library}: move that import into the function" for library in loaded]


@functools.cache
def _imported(root: Path) -> dict[str, list[str]]:
    """Heavy libraries that importing each record brings along; a process for each, so that none hides another's."""
    code = textwrap.dedent("""
        import json, os, sys
        import modelyard.lifecycle, pipelines
        folder, *heavy = sys.argv[1:]
        pipelines.__path__.append(folder)
        for name in sorted(os.listdir(folder)):
            if os.path.isdir(os.path.join(folder, name)) and name != "__pycache__" and os.fork() == 0:
                __import__(f"pipelines.{name}.pipeline")
                line = json.dumps([name, [library for library in heavy if library in sys.modules]])
                os.write(1, (line + os.linesep).encode())  # print may write in two parts
                os._exit(0)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
    """)
    command = [sys.executable, "-c", code, str(root / "pipelines"), *HEAVY]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(repository() / "src"), str(repository())])}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in result.stdout.splitlines())


def the_name_is_on_every_shelf(shelves: Shelves) -> list[str]:
    problems = []
    for environment in ENVIRONMENTS:
        path = shelves.root / "conf" / environment / shelves.name / "parameters.yml"
        keys = _top_level_keys(path) if path.exists() else None
        if keys is None:
            problems.append(f"{path.relative_to(shelves.root)} is missing")
        elif keys != [shelves.name]:
            problems.append(f"{path.relative_to(shelves.root)} is about {keys}, not only about {shelves.name}")
    folder = shelves.root / "tests" / "pipelines" / shelves.name
    tests = [path.read_text(encoding="utf-8") for path in folder.glob("test_*.py")] if folder.is_dir() else []
    if not any("\ndef test_" in text for text in tests):
        problems.append(f"tests/pipelines/{shelves.name} has no tests")
    if not (folder / "small.py").exists():
        problems.append(f"tests/pipelines/{shelves.name}/small.py is missing: the small fit that every test shares")
    return problems


def _top_level_keys(path: Path) -> list[str]:
    import yaml

    return list(yaml.safe_load(path.read_text(encoding="utf-8")) or {})


def the_readme_has_a_row(shelves: Shelves) -> list[str]:
    readme = shelves.root / "README.md"
    if not readme.exists():  # a folder that is no repository, such as the starter
        return []
    rows = [line for line in readme.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    command = f"`kedro run --pipeline={shelves.name}`"
    if any(command in row for row in rows):
        return []
    return [f"README.md has no table row with {command}; python benchmarks/reference.py --tables-only writes it"]


def the_stages_have_its_name(shelves: Shelves) -> list[str]:
    """`dvc repro` runs what dvc.yaml lists; a folder that is no repository has none."""
    file = shelves.root / "dvc.yaml"
    if not file.exists():
        return []
    import yaml

    stages = yaml.safe_load(file.read_text(encoding="utf-8"))["stages"].values()
    lists = [stage["foreach"] for stage in stages if "foreach" in stage]
    return [] if lists and all(shelves.name in names for names in lists) else ["dvc.yaml does not list the project"]


def the_card_is_about_this_project(shelves: Shelves) -> list[str]:
    card = shelves.rooms / "README.md"
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    wanted = (f"# {shelves.project().title}\n", f"kedro run --pipeline={shelves.name}", "## Known limits")
    return [f"the project's README.md does not have {part.strip()!r}" for part in wanted if part not in text]


def no_project_imports_another(shelves: Shelves) -> list[str]:
    own = f"pipelines.{shelves.name}"
    problems = []
    for path in shelves.modules:
        for line, module in mentioned_modules(path, own):
            if module.split(".")[0] == "pipelines" and f"{module}.".removeprefix(f"{own}.") == f"{module}.":
                problems.append(f"{path.name}, line {line}: {module} is another project's")
    return problems


def mentioned_modules(path: Path, package: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import in a module, and of every string that names a project's module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            # `from pipelines import x` imports pipelines.x
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).startswith("pipelines.") and " " not in str(node.value):
            yield node.lineno, str(node.value)


def public_things_have_docstrings(shelves: Shelves) -> list[str]:
    problems = []
    for path in shelves.modules:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                missing = _missing_parts(node)
                problems += [f"{path.name}, line {node.lineno}: {node.name} has no {part}" for part in missing]
    return problems


def _missing_parts(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    text = ast.get_docstring(node)
    if not text:
        return ["docstring"]
    wanted = ["Args:", "Returns:"] if node.name in WITH_SECTIONS else []
    if isinstance(node, ast.FunctionDef) and any(isinstance(part, ast.Raise) for part in ast.walk(node)):
        wanted.append("Raises:")
    return [f"'{part}' in its docstring" for part in wanted if part not in text]


CHECKS = (
    rooms_are_the_usual_ones,
    wiring_is_nothing_but_wiring,
    record_is_light_to_import,
    the_name_is_on_every_shelf,
    the_readme_has_a_row,
    the_stages_have_its_name,
    the_card_is_about_this_project,
    no_project_imports_another,
    public_things_have_docstrings,
)
