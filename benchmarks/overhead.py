"""What the lifecycle costs: the whole fraud_detection run against a flat script that does the same work.

    python benchmarks/overhead.py [--env ci] [--runs 3] [--params fraud_detection.tune.n_trials=2]

Both are processes of their own, in turn, each in a fresh folder, start-up and making the MLflow database included.
The flat script (``flat_script.py``) calls the project's own functions and the same libraries directly.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from side_by_side import Command, compare

ROOT = Path(__file__).resolve().parents[1]
FLAT_SCRIPT = ROOT / "benchmarks" / "flat_script.py"
FRESH = "import shutil, subprocess, sys; shutil.rmtree(sys.argv[1], True); sys.exit(subprocess.call(sys.argv[2:]))"


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="ci", help="environment of conf/ (default ci)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--params", default="", help="differences from the environment, as `kedro run` takes them")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    params = [f"--params={arguments.params}"] if arguments.params else []
    try:
        ours = _fresh(
            "kedro run --pipeline=fraud_detection",
            folder / "ours",
            (sys.executable, "-m", "kedro", "run", "--pipeline=fraud_detection", f"--env={arguments.env}", *params),
        )
        flat = _fresh(
            "flat script",
            folder / "flat",
            (
                sys.executable,
                str(FLAT_SCRIPT),
                str(folder / "flat"),
                arguments.env,
                arguments.params,
            ),
        )
        compare(ours, flat, n_runs=arguments.runs, goal="at most 1.15")
    finally:
        shutil.rmtree(folder)


def _fresh(name: str, data: Path, command: tuple[str, ...]) -> Command:
    """A command that begins by removing what its last run left."""
    return Command(name, (sys.executable, "-c", FRESH, str(data), *command), ROOT, {"MODELYARD_DATA_DIR": str(data)})


if __name__ == "__main__":
    main()
