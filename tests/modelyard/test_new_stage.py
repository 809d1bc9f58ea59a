"""A stage `explain` for all projects: lifecycle, function with parameters, catalog and dvc.yaml; nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.commands.new_project import scaffold
from modelyard.paths import repository

PROJECT = "toy_machines"

STAGE = '''"""Explain: how far the two classes lie apart in each column."""

from collections.abc import Callable
from typing import Any

from pydantic import Field

from modelyard.parameters import Parameters, typed
from modelyard.project import Project


class ExplainParameters(Parameters):
    """How much is explained."""

    n_columns: int = Field(3, ge=1, description="Columns that are shown.")


def make_explain(project: Project) -> Callable[..., Any]:
    """Returns the node function ``(examples, params) -> explanation``."""

    def explain(examples: Any, params: Any) -> Any:
        import polars as pl
        import polars.selectors as cs

        means = examples.group_by(project.contract.target).agg(cs.float().mean()).select(cs.float().diff().abs().last())
        return {"columns": means.columns[: params.n_columns]}

    return typed(explain, params=ExplainParameters)
'''

NODE = '            Node(make_explain(project), ["examples", "params:explain"], "explanation", name="explain"),\n'

ENTRY = """
"{project}.explanation":
  type: modelyard.catalog.documents.JsonDocument
  filepath: ${data:}/08_reporting/{project}/explanation.json
"""

DVC_STAGE = """
  explain:
    foreach: *projects
    do:
      cmd: kedro run --pipeline=${item} --env=base --nodes=${item}.explain
      deps:
        - data/00_code/${item}/explain.txt
        - data/05_model_input/${item}/examples.parquet
      outs:
        - data/08_reporting/${item}/explanation.json
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the code with the toy project of `kedro new-project`, and the new stage."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(repository() / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pipelines").mkdir()
    shutil.copy(repository() / "pipelines" / "__init__.py", root / "pipelines")
    for name in ("conf/base/catalog.yml", "conf/logging.yml", "dvc.yaml", "pyproject.toml", "requirements.lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository() / name, root / name)
    (root / "conf" / "local").mkdir()
    scaffold(PROJECT, "Toy machines", root)
    spine = root / "src" / "modelyard"
    (spine / "stages" / "explain.py").write_text(STAGE)
    edit(spine / "lifecycle.py", "from modelyard.stages.ingest", "from modelyard.stages.explain import make_explain\n")
    edit(spine / "lifecycle.py", "            Node(\n                make_train", NODE)
    (root / "conf" / "base" / "catalog.yml").open("a").write(ENTRY)
    (root / "dvc.yaml").open("a").write(DVC_STAGE)
    return root


def edit(path: Path, before: str, new: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, new + before))


def run(checkout: Path, data: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{checkout / 'src'}:{checkout}", "MODELYARD_DATA_DIR": str(data)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


WIRED = f"""
import json
from modelyard.lifecycle import assemble, parameter_types
from modelyard.projects import load_project

project = load_project("{PROJECT}")
described = next(node for node in assemble(project).nodes if node.name.endswith("describe"))
print(json.dumps([[*parameter_types(project)], described.inputs]))
"""


def test_the_groups_and_the_run_record_know_it(checkout, tmp_path):
    groups, recorded = json.loads(run(checkout, tmp_path, "-c", WIRED))
    assert "explain" in groups
    assert f"params:{PROJECT}.explain" in recorded
    assert f"params:{PROJECT}.monitor" not in recorded


def test_a_change_of_what_it_runs_runs_it_again(checkout, tmp_path):
    run(checkout, tmp_path, "-m", "modelyard.lineage.stage_code")
    listed = (tmp_path / "00_code" / PROJECT / "explain.txt").read_text()
    for module in ("src/modelyard/stages/explain.py", "src/modelyard/catalog/documents.py", "data.py", "pipeline.py"):
        assert module in listed
    for module in ("stages/train.py", "model.py", "serve.py", "commands/"):
        assert module not in listed
    assert listed.endswith("params:explain  {}\n")
    (checkout / "conf" / "base" / PROJECT / "parameters.yml").write_text(f"{PROJECT}: {{explain: {{n_columns: 2}}}}\n")
    run(checkout, tmp_path, "-m", "modelyard.lineage.stage_code")
    assert (tmp_path / "00_code" / PROJECT / "explain.txt").read_text().endswith('params:explain  {"n_columns": 2}\n')


def test_it_runs_with_its_defaults_and_with_a_value(checkout, tmp_path, migrated_database):
    shutil.copy(migrated_database, tmp_path / "mlflow.db")
    (checkout / "conf" / "base" / PROJECT / "parameters.yml").write_text(f"{PROJECT}: {{}}\n")
    command = ("-m", "kedro", "run", f"--pipeline={PROJECT}", "--env=ci")
    run(checkout, tmp_path, *command, f"--to-nodes={PROJECT}.explain")
    explanation = tmp_path / "08_reporting" / PROJECT / "explanation.json"
    assert len(json.loads(explanation.read_text())["columns"]) == 3
    run(checkout, tmp_path, *command, f"--nodes={PROJECT}.explain", f"--params={PROJECT}.explain.n_columns=1")
    assert len(json.loads(explanation.read_text())["columns"]) == 1
