"""Imports of a project: rooms stand in a fixed order, no project knows another, and the record is light."""

import ast
import functools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from modelyard.paths import repository
from tests.contract.import_graph import circles
from tests.contract.shelves import Shelves

ORDER = (
    ("simulator",),
    ("data",),
    ("features",),
    ("inputs",),
    ("network",),
    ("model",),
    ("train",),
    ("evaluate",),
    ("figures", "serve"),
    ("play",),
    ("pipeline",),
)
"""A room imports only rooms before it; an annex stands wherever no room reaches a later one through it."""

RANKS = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}

HEAVY = ("torch", "xgboost", "mlflow", "great_expectations", "feast", "pandas", "sklearn", "matplotlib", "optuna")
"""Libraries whose import costs seconds; ``kedro run`` of one project must not wait for all of them."""

AT_THE_TOP = ("numpy", "polars")
"""Libraries that every command which runs a project needs anyway."""


def a_room_imports_only_rooms_before_it(shelves: Shelves) -> list[str]:
    graph = _imports_between_rooms(shelves)
    problems = [f"{' and '.join(f'{name}.py' for name in circle)} import each other" for circle in circles(graph)]
    for room in sorted(graph.keys() & RANKS.keys()):
        for other, through in sorted(_reached(graph, room).items()):
            if other in RANKS and RANKS[other] >= RANKS[room]:
                by = f" through {through}.py" if through != room else ""
                problems.append(f"{room}.py imports {other}.py{by}, which stands no earlier in the order of rooms")
    return problems


def _imports_between_rooms(shelves: Shelves) -> dict[str, set[str]]:
    """Module to the project's own modules that it imports, inside functions and for type checkers too."""
    own, names = f"pipelines.{shelves.name}.", {path.stem for path in shelves.modules if path.stem != "__init__"}
    graph = {}
    for path in shelves.modules:
        if path.stem in names:
            imported = (module for _, module in mentioned_modules(path, own[:-1]) if module.startswith(own))
            graph[path.stem] = {module.removeprefix(own).split(".")[0] for module in imported} & names - {path.stem}
    return graph


def _reached(graph: dict[str, set[str]], room: str) -> dict[str, str]:
    """What ``room`` imports itself or through annexes, with the module that names it; rooms answer for themselves."""
    found: dict[str, str] = {}
    todo = [room]
    while todo:
        module = todo.pop()
        for other in graph[module] - found.keys() - {room}:
            found[other] = module
            if other not in RANKS:
                todo.append(other)
    return found


def numpy_and_polars_stand_at_the_top(shelves: Shelves) -> list[str]:
    """Every command that runs these functions has loaded both already; only heavy libraries wait inside."""
    problems = []
    for path in shelves.modules:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = [node for top in tree.body for node in ast.walk(top) if node is not top]
        for node in inside:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = [name for name in names if name.split(".")[0] in AT_THE_TOP]
            problems += [f"{path.name}, line {node.lineno}: import {name} at the top of the module" for name in found]
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


CHECKS = (
    a_room_imports_only_rooms_before_it,
    numpy_and_polars_stand_at_the_top,
    record_is_light_to_import,
    no_project_imports_another,
)
