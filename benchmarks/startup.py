"""How long a command takes before it does any work.

1. ``kedro run`` of a pipeline of two trivial nodes inside this repository, against the same pipeline in a stock Kedro
   project with kedro-mlflow, in the same environment, both tracked in a SQLite MLflow store that exists already.
2. ``kedro registry list`` against ``kedro --version``.

    make bench-env && python benchmarks/startup.py
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from side_by_side import Command, compare, missing_competitor

ROOT = Path(__file__).resolve().parents[1]
KEDRO = (sys.executable, "-m", "kedro")

PIPELINE = """
from kedro.pipeline import Node, Pipeline


def start():
    return 1


def end(value):
    return value + 1


def create_pipeline():
    return Pipeline(
        [Node(start, None, "first", name="start"), Node(end, "first", "second", name="end")], namespace="two_nodes"
    )
"""


def our_project(folder: Path) -> Command:
    """A copy of this repository with one more project of two nodes."""
    for shelf in ("src", "pipelines", "conf"):
        shutil.copytree(ROOT / shelf, folder / shelf, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / file, folder)
    room = folder / "pipelines" / "two_nodes"
    room.mkdir()
    (room / "__init__.py").write_text("from pipelines.two_nodes.pipeline import create_pipeline\n")
    (room / "pipeline.py").write_text(PIPELINE)
    return Command(
        "this repository",
        (*KEDRO, "run", "--pipeline=two_nodes"),
        folder,
        {"PYTHONPATH": f"{folder / 'src'}:{folder}", "MODELYARD_DATA_DIR": str(folder / "data")},
    )


def stock_project(folder: Path) -> Command:
    """What ``kedro new`` gives, with kedro-mlflow installed."""
    package = folder / "src" / "stock"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[tool.kedro]\npackage_name = "stock"\nproject_name = "stock"\n'
        'kedro_init_version = "1.7.0"\nsource_dir = "src"\n'
    )
    (package / "__init__.py").touch()
    (package / "settings.py").touch()
    (package / "pipeline_registry.py").write_text(
        PIPELINE + "\n\ndef register_pipelines():\n    return {'two_nodes': create_pipeline()}\n"
    )
    (folder / "conf" / "base").mkdir(parents=True)
    (folder / "conf" / "local").mkdir()
    (folder / "conf" / "base" / "catalog.yml").write_text("{}\n")
    (folder / "conf" / "base" / "parameters.yml").write_text("{}\n")
    (folder / "conf" / "local" / "mlflow.yml").write_text("server:\n  mlflow_tracking_uri: sqlite:///mlflow.db\n")
    return Command(
        "stock kedro + kedro-mlflow",
        (*KEDRO, "run", "--pipelines=two_nodes"),
        folder,
        {"PYTHONPATH": f"{folder / 'src'}:{ROOT / '.bench'}", "DO_NOT_TRACK": "true"},
    )


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    if missing := missing_competitor("kedro_mlflow") or missing_competitor("kedro_datasets"):
        raise SystemExit(missing)
    with tempfile.TemporaryDirectory() as temporary:
        ours = our_project(Path(temporary) / "ours")
        print("kedro run of two trivial nodes")
        compare(ours, stock_project(Path(temporary) / "stock"), n_runs=arguments.runs, goal="at most 0.25")
        print("kedro registry list")
        compare(
            ours._replace(name="kedro registry list", arguments=(*KEDRO, "registry", "list")),
            ours._replace(name="kedro --version", arguments=(*KEDRO, "--version")),
            n_runs=arguments.runs,
            goal="at most 2",
        )


if __name__ == "__main__":
    main()
