"""A window of 100,000 rows x 100 columns: our verdict and report beside Evidently's defaults.

    python benchmarks/drift.py [--rows 100000] [--columns 100] [--runs 3]

Both get the same two Parquet files (80 % of the columns are numbers, 20 % texts; a fifth of the columns has drifted)
and both end with a JSON verdict and an HTML page. Evidently's defaults are ``Report([DataDriftPreset()])`` on all
rows, its tests chosen by itself. Ours is what ``kedro monitor`` does: counts in the reference's bins on all rows, the
verdict, and Evidently's page on a sample of 2,000 rows. Each run is a fresh process, in turn (A B A B); a process
measures its own imports apart from its work. The reference's summary, which is made once per version and not at every
window, is told as well.
"""
# ruff: noqa: PLC0415  # what is imported is measured, so each contestant imports for itself

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

GOAL = 1 / 5


def write_tables(folder: Path, n_rows: int, n_columns: int) -> None:
    """The reference and a window in which every fifth column has moved."""
    for name, moved in (("reference", 0.0), ("window", 0.4)):
        random = np.random.default_rng(len(name))
        columns: dict[str, Any] = {}
        for number in range(n_columns):
            shift = moved * (number % 5 == 0)
            if number % 10 < 8:
                columns[f"number_{number}"] = random.gamma(2.0, 1.0 + shift, n_rows).round(2)
            else:
                shares = np.linspace(1, 2 + 4 * shift, 12)
                letters = random.choice(12, n_rows, p=shares / shares.sum())
                columns[f"text_{number}"] = np.array([f"value {letter}" for letter in range(12)])[letters]
        pl.DataFrame(columns).write_parquet(folder / f"{name}.parquet")


def evidently_defaults(folder: Path) -> dict[str, float]:
    """Evidently as its documentation has it."""
    begun = time.perf_counter()
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    imported = time.perf_counter()
    reference, window = (pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "window"))
    result = Report([DataDriftPreset()]).run(window, reference)
    result.save_json(str(folder / "theirs.json"))
    verdict = time.perf_counter()
    result.save_html(str(folder / "theirs.html"))
    ended = time.perf_counter()
    return {"import": imported - begun, "work": ended - imported, "until_verdict": verdict - imported}


def ours(folder: Path) -> dict[str, float]:
    """What ``kedro monitor`` does with the rows of a window."""
    begun = time.perf_counter()
    from modelyard.monitoring.html_report import load_evidently, write_html
    from modelyard.monitoring.reference import MonitorParameters
    from modelyard.monitoring.verdict import judge

    load_evidently()
    # Both are imported when they are first used; here apart from the work.
    importlib.import_module("evidently.presets.drift")
    importlib.import_module("scipy.special")

    imported = time.perf_counter()
    params = MonitorParameters()
    window = pl.read_parquet(folder / "window.parquet")
    summary = json.loads((folder / "reference.json").read_text())
    verdict = judge(_project(), summary, window, params)
    (folder / "ours.json").write_text(json.dumps(verdict))
    judged = time.perf_counter()
    head = {"project": "benchmark", "model_version": 1, "window": {"since": "", "until": ""}}
    sample = window.sample(min(params.n_sample_rows, window.height), seed=0)
    write_html(
        folder / "ours.html",
        pl.read_parquet(folder / "sample.parquet"),
        sample,
        head | verdict,
        min_distance=params.min_distance,
    )
    ended = time.perf_counter()
    return {"import": imported - begun, "work": ended - imported, "until_verdict": judged - imported}


def summarise(folder: Path) -> float:
    """Makes the reference, as registration does; seconds."""
    from modelyard.monitoring.reference import MonitorParameters, summarise_reference

    table = pl.read_parquet(folder / "reference.parquet")
    begun = time.perf_counter()
    made = summarise_reference(_project(), table, pl.DataFrame(), table, MonitorParameters())
    seconds = time.perf_counter() - begun
    (folder / "reference.json").write_text(json.dumps(made.summary))
    made.sample.write_parquet(folder / "sample.parquet")
    return seconds


def _project() -> Any:
    """What judging asks of a project: no groups, no entities, and requests that hold every column."""
    contract = SimpleNamespace(key="", event_time="", target="", group=None, columns=(), media=())
    folder = Path(sys.argv[-1])
    api = SimpleNamespace(decode=lambda _: pl.read_parquet(folder / "reference.parquet", n_rows=1), example=None)
    return SimpleNamespace(contract=contract, feature_views=(), api=api)


CONTESTANTS = {"ours": ours, "evidently": evidently_defaults, "summarise": summarise}


def measured(name: str, folder: Path) -> Any:
    """A contestant in a fresh process."""
    command = [sys.executable, __file__, "--contestant", name, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{name} failed:\n{run.stderr[-4000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def drifted(folder: Path) -> tuple[set[str], set[str]]:
    """Columns that ours and Evidently call drifted."""
    found = json.loads((folder / "ours.json").read_text())["columns"]
    theirs = json.loads((folder / "theirs.json").read_text())["metrics"]
    by_column = [metric for metric in theirs if "ValueDrift(" in metric["metric_name"]]
    marked = {
        metric["config"]["column"] for metric in by_column if _is_beyond(metric["config"], float(metric["value"]))
    }
    return {column["name"] for column in found if column["is_drifted"]}, marked


def _is_beyond(config: dict[str, Any], value: float) -> bool:
    """Distances are drifted above their threshold, p-values below it."""
    threshold = config.get("threshold") or 0.1
    return value < threshold if "p_value" in str(config.get("method")) else value >= threshold


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--contestant", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        name, folder = arguments.contestant
        print(json.dumps(CONTESTANTS[name](Path(folder))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_tables(folder, arguments.rows, arguments.columns)
        print(f"{arguments.rows:,} rows x {arguments.columns} columns, reference and window")
        print(f"  reference summarised once in {measured('summarise', folder):.2f} s")
        pairs = [(measured("ours", folder), measured("evidently", folder)) for _ in range(arguments.runs)]
        for place, name in enumerate(("ours", "evidently")):
            import_s, work_s, verdict_s = (
                statistics.median(pair[place][what] for pair in pairs) for what in ("import", "work", "until_verdict")
            )
            size = (folder / ("ours.html" if name == "ours" else "theirs.html")).stat().st_size / 1e6
            print(
                f"  {name:<10}{work_s:8.2f} s of work ({verdict_s:.2f} s until the verdict), "
                f"imports {import_s:.2f} s, HTML {size:.2f} MB"
            )
        ratio = statistics.median(a["work"] / b["work"] for a, b in pairs)
        whole = statistics.median((a["work"] + a["import"]) / (b["work"] + b["import"]) for a, b in pairs)
        print(f"  ratio of the work {ratio:.3f} (goal at most {GOAL}), with imports {whole:.3f}; {len(pairs)} pairs")
        mine, theirs = drifted(folder)
        print(
            f"  drifted: {len(mine)} columns by our verdict, {len(theirs)} by Evidently's, {len(mine & theirs)} by both"
        )


if __name__ == "__main__":
    main()
