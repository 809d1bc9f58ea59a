"""A new project is there, whole, under its name, and works; or nothing is there."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.commands import new_project
from modelyard.commands.new_project import KINDS, SHELVES, STARTER_NAME, STARTER_TITLE, scaffold
from modelyard.errors import ConfigurationError, StorageError
from modelyard.paths import repository

TABLE = """# Title

| project | metric | command |
|---|---|---|
| plums | 0.9 | `kedro run --pipeline=plums` |

More.
"""

SHARED_TESTS = ("conftest.py", "pipelines/conftest.py", "pipelines/small_fit.py")
"""What the tests of every project use."""


def tree(root: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


@pytest.mark.parametrize("kind", KINDS)
def test_every_shelf_is_filled_and_nothing_of_the_starter_is_left(kind, tmp_path):
    made = scaffold("toy_rentals", "Bicycle rentals", tmp_path, kind)
    assert made == [tmp_path / shelf / "toy_rentals" for shelf in SHELVES]
    files = {name: content.decode() for name, content in tree(tmp_path).items() if content is not None}
    assert "tests/pipelines/toy_rentals/test_toy_rentals.py" in files
    assert 'title="Bicycle rentals"' in files["pipelines/toy_rentals/pipeline.py"]
    for name, text in files.items():
        assert STARTER_NAME not in name + text
        assert STARTER_TITLE not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conf", "pipelines", "tests"]


def test_the_table_of_projects_gets_a_row_below_the_last_one(tmp_path):
    (tmp_path / "README.md").write_text(TABLE)
    made = scaffold("toy_rentals", "Bicycle rentals", tmp_path)
    row = "| [toy_rentals](pipelines/toy_rentals/README.md): Bicycle rentals | – | `kedro run --pipeline=toy_rentals` |"
    assert (tmp_path / "README.md").read_text() == TABLE.replace("plums` |\n", f"plums` |\n{row}\n")
    assert made[-1] == tmp_path / "README.md"


def test_dvc_gets_the_project_too(tmp_path):
    stages = "stages:\n  ingest:\n    foreach: &projects\n      - plums\n    do:\n      cmd: kedro run\n"
    (tmp_path / "dvc.yaml").write_text(stages)
    made = scaffold("toy_rentals", "Bicycle rentals", tmp_path)
    assert (tmp_path / "dvc.yaml").read_text() == stages.replace("- plums\n", "- plums\n      - toy_rentals\n")
    assert made[-1] == tmp_path / "dvc.yaml"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ToyRentals", "Did you mean 'toy_rentals'?"),
        ("toy-rentals", "Did you mean 'toy_rentals'?"),
        ("toy rentals", "Did you mean 'toy_rentals'?"),
        ("3_toys", "cannot be a project's name"),
        ("class", "cannot be a project's name"),
        ("toy__rentals", "Did you mean 'toy_rentals'?"),
        ("_toy", "Did you mean 'toy'?"),
        ("../toy", "Did you mean 'toy'?"),
        ("", "cannot be a project's name"),
        ("x" * 41, "at most 40 characters"),
        ("statistics", "installed module"),
        ("mlflow", "installed module"),
        ("quarantine", "The spine uses the word"),
    ],
)
def test_a_name_that_means_trouble_is_refused(name, says, tmp_path):
    with pytest.raises(ConfigurationError) as refused:
        scaffold(name, "A title", tmp_path)
    assert says in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("title", ["", "x", 'a "quoted" one', "two\nlines", "a | b", "back\\slash", "_", "x" * 61])
def test_a_title_that_would_break_a_file_is_refused(title, tmp_path):
    with pytest.raises(ConfigurationError, match="title"):
        scaffold("toy_rentals", title, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shelf", SHELVES)
def test_nothing_is_overwritten(shelf, tmp_path):
    (tmp_path / shelf / "toy_rentals").mkdir(parents=True)
    (tmp_path / shelf / "toy_rentals" / "mine.txt").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(ConfigurationError, match=f"{shelf}/toy_rentals"):
        scaffold("toy_rentals", "Bicycle rentals", tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("failing_move", range(1, len(SHELVES) + 1))
def test_a_full_disk_half_way_leaves_nothing(failing_move, tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text(TABLE)
    moves = iter(range(1, len(SHELVES) + 1))
    rename = os.rename

    def sometimes(source, target):
        if next(moves) == failing_move:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(new_project.os, "rename", sometimes)
    with pytest.raises(StorageError, match="The disk is full"):
        scaffold("toy_rentals", "Bicycle rentals", tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "README.md"]
    assert not list(tmp_path.rglob("*toy_rentals*"))
    assert (tmp_path / "README.md").read_text() == TABLE


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text(TABLE)

    def full(path, text):
        raise StorageError("The disk is full.")

    monkeypatch.setattr(new_project, "write_text", full)
    with pytest.raises(StorageError):
        scaffold("toy_rentals", "Bicycle rentals", tmp_path)
    assert not list(tmp_path.rglob("*toy_rentals*"))


@pytest.fixture(scope="module")
def copied_repository(tmp_path_factory) -> Path:
    """The parts of this repository that a project lives in; its modules win over the installed ones."""
    root = tmp_path_factory.mktemp("repository")
    for part in ("src", "pipelines", "conf", "tests/contract"):
        shutil.copytree(repository() / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in (
        "pyproject.toml",
        "requirements.lock",
        "tests/conftest.py",
        "tests/pipelines/small_fit.py",
        "tests/pipelines/conftest.py",
    ):
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository() / part, root / part)
    (root / "README.md").write_text(TABLE)
    return root


@pytest.fixture
def command(copied_repository, mlflow_database):
    """Runs a module's command line in the copied repository, on a data folder of its own."""
    path = os.pathsep.join([str(copied_repository / "src"), str(copied_repository)])
    environment = os.environ | {"PYTHONPATH": path, "MODELYARD_DATA_DIR": str(mlflow_database)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", *arguments]
        return subprocess.run(
            line, cwd=copied_repository, env=environment, capture_output=True, text=True, check=False, timeout=600
        )

    return run


def test_the_command_line_makes_a_project_that_keeps_the_contract_and_runs(command, copied_repository, mlflow_database):
    made = command("kedro", "new-project", "toy_rentals", "--title", "Bicycle rentals")
    assert made.returncode == 0, made.stderr
    assert "kedro run --pipeline=toy_rentals --env=ci" in made.stdout

    again = command("kedro", "new-project", "toy_rentals")
    assert again.returncode == ConfigurationError.exit_code
    assert "There is something called 'toy_rentals' already" in again.stderr
    assert "Traceback" not in again.stderr

    for lint in (("ruff", "check"), ("ruff", "format", "--check")):
        clean = command(*lint, "pipelines/toy_rentals", "tests/pipelines/toy_rentals")
        assert clean.returncode == 0, clean.stdout

    tests = command(
        "pytest", "-p", "no:cacheprovider", "tests/contract", "tests/pipelines/toy_rentals", "-k", "toy_rentals"
    )
    assert tests.returncode == 0, tests.stdout

    ran = command("kedro", "run", "--pipeline=toy_rentals", "--env=ci")
    assert ran.returncode == 0, ran.stderr
    metrics = json.loads((mlflow_database / "08_reporting" / "toy_rentals" / "metrics.json").read_text())
    assert metrics.keys() == {
        "project", "source", "data_digest", "code", "n_test", "shown", "metrics", "floor", "champion", "gate",
        "model_version",
    }  # fmt: skip
    assert metrics["project"] == "toy_rentals"
    assert metrics["gate"]["passed"], metrics["gate"]
    assert metrics["metrics"]["roc_auc"].keys() == {"value", "low", "high"}
    assert "toy_rentals version 1" in ran.stdout


def test_each_kind_is_clean_and_keeps_its_own_tests(command, copied_repository):
    """That it keeps the contract and the laws of learning is tested with all projects, in tests/contract."""
    names = [f"toy_{kind}" for kind in KINDS]
    for kind, name in zip(KINDS, names, strict=True):
        scaffold(name, f"Toy of {kind}", copied_repository, kind)
    folders = [f"{shelf}/{name}" for shelf in ("pipelines", "tests/pipelines") for name in names]
    for lint in (("ruff", "check"), ("ruff", "format", "--check")):
        clean = command(*lint, *folders)
        assert clean.returncode == 0, clean.stdout
    tests = command("pytest", "-p", "no:cacheprovider", *folders[len(names) :])
    assert tests.returncode == 0, tests.stdout
