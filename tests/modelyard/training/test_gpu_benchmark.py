"""The script for a machine with a GPU runs on a CPU, small, with nothing but what that machine will have."""

import json
import os
import subprocess
import sys
from pathlib import Path

from modelyard.paths import repository
from tests.pipelines.medical_image_analysis.small import SMALL

_ABSENT = "kedro mlflow feast great_expectations pandas sklearn optuna duckdb xgboost matplotlib rich"

_BARE = f"""
import sys, runpy
for name in {_ABSENT!r}.split():
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_runs_small_on_a_bare_machine(tmp_path: Path) -> None:
    SMALL.examples().gather_every(8).write_parquet(tmp_path / "examples.parquet")
    project = SMALL.project
    fit = SMALL.fit.model_dump(mode="json")
    about = {"project": project.name, "target": project.contract.target, "fit": fit}
    (tmp_path / "about.json").write_text(json.dumps(about))
    paths = f"{repository() / 'src'}{os.pathsep}{repository()}"
    ended = subprocess.run(
        [sys.executable, "-c", _BARE, str(repository() / "benchmarks" / "gpu.py"), "measure", str(tmp_path), "--small"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert ended.returncode == 0, ended.stderr
    assert "largest difference of a weight 0\n" in ended.stdout
    assert ended.stdout.count("by hand x") == 20
    assert f"{project.name} in bfloat16" in ended.stdout
