"""Rooms, names and cards: what can be seen without running a project."""

import ast
import re
from operator import attrgetter
from pathlib import Path

from tests.contract.shelves import Shelves

ROOMS = (
    "README.md",
    "__init__.py",
    "data.py",
    "evaluate.py",
    "figures.py",
    "model.py",
    "pipeline.py",
    "play.py",
    "serve.py",
    "train.py",
)
"""What every project has."""

MORE_ROOMS = ("features.py", "network.py", "simulator.py")
"""What a project has if it needs it: features that are looked up, a network, data of its own making."""

ROOM_OF = {
    "data": ("ingest", "expectations"),
    "features": ("derive_features",),
    "model": ("model_format.save", "model_format.load"),
    "train": ("fit", "search_space"),
    "evaluate": ("predict", "metrics.measure", "metrics.score", "metrics.once", "metrics.floor"),
    "figures": ("figures",),
    "serve": ("api.decode", "api.answer", "api.stream", "api.encode"),
    "play": ("play.examples",),
}
"""Where a reader looks for a function of the record; one of the spine may stand in its place."""

MAX_CARD_LINES = 60
"""Lines of a card that are not empty, beside the results: what a reader takes in on one screen or a little more."""

NO_ANSWER = ("base", "common", "core", "helpers", "lib", "misc", "tools", "utils")
"""Names of modules that answer no question."""

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
        if name in (*ROOMS, *MORE_ROOMS):
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


def functions_stand_in_their_rooms(shelves: Shelves) -> list[str]:
    own, project = f"pipelines.{shelves.name}.", shelves.project()
    problems = []
    for room, names in ROOM_OF.items():
        for name in names:
            part, _, rest = name.partition(".")
            owner = getattr(project, part)
            function = attrgetter(rest)(owner) if rest and owner is not None else owner
            module = getattr(function, "__module__", "")
            if module.startswith(own) and module != f"{own}{room}":
                problems.append(f"{name} stands in {module.removeprefix(own)}.py, not in {room}.py")
    if (shelves.rooms / "features.py").exists() != bool(project.feature_views):
        problems.append("features.py is there if and only if the record has feature views")
    for path in shelves.modules:
        if path.name != "simulator.py" and "\ndef known_ceiling(" in path.read_text(encoding="utf-8"):
            problems.append(f"known_ceiling stands in {path.name}, but is a property of the data of simulator.py")
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
    problems = [f"the project's README.md does not have {part.strip()!r}" for part in wanted if part not in text]
    prose = re.sub("<!-- results -->.*?<!-- /results -->", "", text, flags=re.DOTALL).splitlines()
    length = sum(bool(line.strip()) for line in prose)
    if length > MAX_CARD_LINES:
        problems.append(f"the project's README.md has {length} lines beside its results, more than {MAX_CARD_LINES}")
    return problems


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
    functions_stand_in_their_rooms,
    wiring_is_nothing_but_wiring,
    the_name_is_on_every_shelf,
    the_readme_has_a_row,
    the_stages_have_its_name,
    the_card_is_about_this_project,
    public_things_have_docstrings,
)
