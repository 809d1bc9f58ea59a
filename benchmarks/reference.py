"""The reference run of a project on its public data, and the result tables and pictures of the READMEs.

    python benchmarks/reference.py fraud_detection      run with --env=benchmark, then write the tables
    python benchmarks/reference.py --tables-only        write the tables from benchmarks/results/ alone

Tables stand between ``<!-- results -->`` markers and are written from ``metrics.json`` files, never by hand.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from modelyard.datasets.catalogue import Result, load_catalogue
from modelyard.paths import data_directory
from modelyard.registry import check_project_name, load_project, project_names

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"
MARKED = re.compile(r"<!-- results -->\n.*?<!-- /results -->", re.DOTALL)


def run(project: str) -> None:
    """Runs the project and keeps its numbers in ``benchmarks/results/<project>.json``."""
    check_project_name(project)
    command = [sys.executable, "-m", "kedro", "run", f"--pipeline={project}", "--env=benchmark"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise SystemExit(f"the reference run of {project} failed; no table was changed")
    reporting = data_directory() / "08_reporting" / project
    metrics = json.loads((reporting / "metrics.json").read_text())
    record = json.loads((reporting / "run_record.json").read_text())
    metrics_of = load_project(project).metrics
    kept = ("n_test", "metrics", "floor", "gate", "data_digest", "code")
    result = {name: metrics[name] for name in kept} | {
        "dataset": _dataset(record),
        "primary": metrics_of.primary,
        "greater_is_better": metrics_of.greater_is_better,
        "device": record["device"]["kind"],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{project}.json").write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    shutil.rmtree(IMAGES / project, ignore_errors=True)
    shutil.copytree(reporting / "figures", IMAGES / project)


def _dataset(record: dict[str, Any]) -> str:
    """The public data set that was used, or the source, if it was another one."""
    is_public = record["source"] == "public"
    return str(record["parameters"]["ingest"].get("dataset", "public")) if is_public else str(record["source"])


def write_tables() -> None:
    """Writes the root README's table of projects and each project's own table."""
    results = {file.stem: json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))}
    _replace(ROOT / "README.md", _overview(results))
    for project, result in results.items():
        _replace(ROOT / "pipelines" / project / "README.md", _details(result))


def _overview(results: dict[str, Any]) -> str:
    lines = [
        "| project | data | metric | floor | ours (95 % interval) | published | command |",
        "|---|---|---|---|---|---|---|",
    ]
    for project in project_names():
        title, command = load_project(project).title, f"`kedro run --pipeline={project}`"
        result = results.get(project)
        if result is None:
            lines.append(f"| [{project}](pipelines/{project}/README.md): {title} | – | – | – | – | – | {command} |")
            continue
        primary = result["primary"]
        published = _published(result["dataset"], primary)
        best = (max if result["greater_is_better"] else min)(published, key=lambda item: item[1], default=None)
        lines.append(
            f"| [{project}](pipelines/{project}/README.md): {title} "
            f"| `{result['dataset']}` | {primary} | {result['floor'][primary]:.3f} "
            f"| {_with_interval(result['metrics'][primary])} "
            f"| {f'{best[1]:.3f} ({best[0]})' if best else '–'} | {command} |"
        )
    return "\n".join(lines)


def _details(result: dict[str, Any]) -> str:
    methods = [reference for reference in _references(result["dataset"]) if reference.evidence == "seen"]
    heads = ["metric", "ours (95 % interval)", "trivial floor", *(reference.method for reference in methods)]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for name, metric in result["metrics"].items():
        if metric["value"] is None:
            continue  # what these rows cannot answer, such as the recall of a kind that is not among them
        values = [reference.values.get(name) for reference in methods]
        cells = [f"{value:.3f}" if isinstance(value, float) else "–" for value in values]
        floor = result["floor"][name]
        lines.append(f"| {' | '.join([name, _with_interval(metric), _number(floor), *cells])} |")
    source = f" Published columns: {methods[0].source}." if methods else ""
    return "\n".join([*lines, "", f"{result['n_test']:,} test rows, {result['device']}.{source}"])


def _published(dataset: str, metric: str) -> list[tuple[str, float]]:
    found = [
        (reference.method, reference.values.get(metric))
        for reference in _references(dataset)
        if reference.evidence == "seen"
    ]
    return [(method, value) for method, value in found if isinstance(value, float)]


def _references(dataset: str) -> tuple[Result, ...]:
    """Published results on a data set; a project without a public one has none."""
    entry = load_catalogue().get(dataset)
    return entry.reference_results if entry else ()


def _with_interval(metric: dict[str, float]) -> str:
    return f"**{_number(metric['value'])}** ({_number(metric['low'])} to {_number(metric['high'])})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


def _replace(readme: Path, table: str) -> None:
    text = readme.read_text(encoding="utf-8")
    if not MARKED.search(text):
        raise SystemExit(f"{readme} has no <!-- results --> markers")
    readme.write_text(MARKED.sub(f"<!-- results -->\n{table}\n<!-- /results -->", text), encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="*")
    parser.add_argument("--tables-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.projects and not arguments.tables_only:
        parser.error("name a project, or --tables-only")
    for project in arguments.projects:
        run(project)
    write_tables()


if __name__ == "__main__":
    main()
