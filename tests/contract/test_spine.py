"""The spine knows no project."""

import re

import pytest

from modelyard.commands.new_project import spine_files
from modelyard.paths import repository
from modelyard.projects import project_names
from tests.contract.check_imports import mentioned_modules
from tests.contract.import_graph import circles, folders_of, imports_of

IMPORTERS = {"projects.py", "pipeline_registry.py"}
"""Modules that import a project by its name when somebody asks for it."""


def lines_with(word, paths):
    pattern = re.compile(rf"\b{word}\b")
    return [
        f"{path.name}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def imports_of_projects(path):
    package = ".".join(path.parent.parts[path.parent.parts.index("src") + 1 :])
    return [f"{path.name}:{line}: {module}" for line, module in mentioned_modules(path, package) if is_project(module)]


def is_project(module):
    return module.split(".")[0] == "pipelines"


@pytest.mark.parametrize("name", project_names())
def test_the_spine_names_no_project(name):
    assert lines_with(name, spine_files()) == []


def test_the_spine_imports_no_project():
    offenders = [found for path in spine_files() if path.name not in IMPORTERS for found in imports_of_projects(path)]
    assert offenders == []


def test_both_searches_can_find_something(tmp_path):
    module = tmp_path / "src" / "modelyard" / "stages" / "special.py"
    module.parent.mkdir(parents=True)
    module.write_text('from pipelines import plums\nif name == "plums": ...\nimport_module("pipelines.plums")\n')
    assert len(lines_with("plums", [module])) == 3
    assert len(imports_of_projects(module)) == 2


def test_the_search_covers_the_whole_spine():
    names = {path.relative_to(repository() / "src" / "modelyard").as_posix() for path in spine_files()}
    assert {"lifecycle.py", "stages/train.py", "commands/run.py"} <= names
    assert not any(name.startswith("starter/") for name in names)


def spine_imports(folder):
    return {
        module: imported
        for module, imported in imports_of(folder, "modelyard").items()
        if not module.startswith("modelyard.starter.")
    }


def test_nothing_in_the_spine_imports_in_a_circle():
    imports = spine_imports(repository() / "src" / "modelyard")
    assert len(imports) > 100
    assert circles(imports) == []
    assert circles(folders_of(imports)) == []


def test_a_circle_of_modules_and_one_of_folders_are_found(tmp_path):
    for name, text in {
        "one.py": "import modelyard.two",
        "two.py": "def late():\n    from modelyard.one import x",
        "shelf/__init__.py": "",
        "shelf/low.py": "",
        "shelf/high.py": "from modelyard.room.a import x",
        "room/__init__.py": "",
        "room/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from modelyard.one import y",
        "room/b.py": "from modelyard.shelf import low",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    imports = spine_imports(tmp_path)
    assert circles(imports) == [["modelyard.one", "modelyard.two"]]
    assert circles(folders_of(imports)) == [["one", "two"], ["room", "shelf"]]
