"""Each script of benchmarks/ runs in its smallest size; what it needs and does not find, it says in one line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.paths import repository

BENCHMARKS = repository() / "benchmarks"
SMALLEST = {
    "asof.py": ("--rows=500 --rounds=0 --orders any", "rows are equal"),
    "drift.py": ("--rows=300 --columns=3 --runs=1", "goal at most"),
    "features.py": ("2000 1", "ratio"),
    "scale.py": ("--projects=1 --runs=1 --idle-s=0 --only=registry", "of a processor"),
    "spinning.py": ("--rounds=1 --spins 1000 --neighbours 1 --networks mlp --seconds=0.01", "mlp"),
    "tuning.py": ("--sizes 2 --trials=3 --seeds=2", "0."),
}
"""Arguments, and a part of what is printed."""

LARGE = {
    "overhead.py": (
        "--runs=1 --params=fraud_detection.ingest.simulation.n_customers=120,fraud_detection.tune.n_trials=2",
        "goal at most 1.15",
    ),
    "serving.py": ("--rounds=1 --seconds=1", "times as quick"),
    "startup.py": ("--runs=1", "goal at most 2"),
    "training.py": ("--rounds=1 --threads=1 --only=MLP --small", "lightning"),
}
"""Whole runs, servers and what `make bench-env` installs, in the smallest size that they have."""

ELSEWHERE = {
    "demo_drift.py": "tests/end_to_end",
    "flat_script.py": "run by overhead.py",
    "gpu.py": "tests/modelyard/training/test_gpu_benchmark.py",
    "reference.py": "the test of its tables, below",
    "side_by_side.py": "imported by the others",
}


def run(script: Path, arguments: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *arguments.split()],
        cwd=repository(),
        env=os.environ | {"GOMP_SPINCOUNT": "1000"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_script_is_left_out():
    assert {script.name for script in BENCHMARKS.glob("*.py")} == SMALLEST.keys() | LARGE.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("name", list(SMALLEST))
def test_the_smallest_size_runs(name):
    arguments, expected = SMALLEST[name]
    ended = run(BENCHMARKS / name, arguments)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert expected in ended.stdout


@pytest.mark.skipif(
    not os.environ.get("MODELYARD_LARGE_BENCHMARKS"),
    reason="takes minutes and `make bench-env`: MODELYARD_LARGE_BENCHMARKS=1",
)
@pytest.mark.parametrize("name", list(LARGE))
def test_the_smallest_whole_run_runs(name):
    arguments, expected = LARGE[name]
    ended = run(BENCHMARKS / name, arguments)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert expected in ended.stdout


@pytest.mark.parametrize(
    ("name", "arguments", "package", "exit_status"),
    [
        ("startup.py", "", "kedro_mlflow", 1),
        ("serving.py", "--litserve", "litserve", 1),
        ("training.py", "--rounds=1 --threads=1 --only=MLP --small", "lightning", 0),
    ],
)
def test_a_competitor_that_is_not_installed_is_named_with_the_way_to_get_it(
    tmp_path, name, arguments, package, exit_status
):
    """In a copy of the folder, beside which nothing was installed."""
    shutil.copytree(BENCHMARKS, tmp_path / "benchmarks", ignore=shutil.ignore_patterns("results", "__pycache__"))
    ended = run(tmp_path / "benchmarks" / name, arguments)
    said = f"MISSING COMPETITOR: {package} is not installed, so nothing is compared with it. Get it: make bench-env"
    assert ended.returncode == exit_status, ended.stderr
    assert exit_status or "by hand x" in ended.stdout
    assert (ended.stderr + ended.stdout).strip().splitlines()[-1] == said


def test_the_tables_of_the_readmes_are_those_that_the_results_give(tmp_path):
    """In a copy, so that the test changes nothing here."""
    root = repository()
    for shelf in ("benchmarks", "pipelines", "conf"):
        shutil.copytree(root / shelf, tmp_path / shelf, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "README.md", tmp_path)
    ended = run(tmp_path / "benchmarks" / "reference.py", "--tables-only")
    assert ended.returncode == 0, ended.stderr
    for file in [Path("README.md"), *(path.relative_to(root) for path in root.glob("pipelines/*/README.md"))]:
        assert (tmp_path / file).read_text() == (root / file).read_text(), f"{file}: reference.py --tables-only"
