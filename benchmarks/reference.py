"""The reference run of a project on its public data, and the result tables and pictures of the READMEs.

    python benchmarks/reference.py fraud_detection      run with --env=benchmark, then write the tables
    python benchmarks/reference.py music_generation --dataset nottingham     on another of its public data sets
    python benchmarks/reference.py --tables-only        write the tables from benchmarks/results/ alone

Tables stand between ``<!-- results -->`` markers and are written from ``metrics.json`` files, never by hand. Each
project has one file of results for each data set; the pictures are those of the data set that its configuration names.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from modelyard.paths import data_directory
from modelyard.projects import check_project_name, load_project, project_names
from modelyard.public_data.catalogue import Result, results_on

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"
REPRINTED = ("grad_cam.png", "least_sure.png", "most_wrong.png", "piano_rolls.png")
"""Figures that reprint examples of a data set: those of public data are not ours to publish."""
MARKED = re.compile(r"<!-- results -->\n.*?<!-- /results -->", re.DOTALL)


def run(project: str, dataset: str | None) -> None:
    """Runs the project on its public data, then keeps what it found."""
    check_project_name(project)
    # A second data set may need settings of its own, or has the first one's.
    has_own = dataset is not None and (ROOT / "conf" / f"benchmark_{dataset}" / project).is_dir()
    environment = f"benchmark_{dataset}" if has_own else "benchmark"
    command = [sys.executable, "-m", "kedro", "run", f"--pipeline={project}", f"--env={environment}"]
    if dataset is not None:
        command.append(f"--params={project}.ingest.dataset={dataset}")
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise SystemExit(f"the reference run of {project} failed; no table was changed")
    keep(project, dataset)


def keep(project: str, dataset: str | None) -> None:
    """Keeps the latest run's figures, and its numbers in ``benchmarks/results/<project>/<data set>.json``."""
    reporting = data_directory() / "08_reporting" / project
    metrics = json.loads((reporting / "metrics.json").read_text())
    record = json.loads((reporting / "run_record.json").read_text())
    evaluation = json.loads((data_directory() / "07_model_output" / project / "evaluation.json").read_text())
    metrics_of = load_project(project).metrics
    used = _dataset(record)
    kept = ("n_test", "metrics", "floor", "gate", "data_digest", "code")
    result = {name: metrics[name] for name in kept} | {
        "dataset": used,
        "shown": evaluation["shown"],
        "primary": metrics_of.primary,
        "greater_is_better": metrics_of.greater_is_better,
        "device": record["device"]["kind"],
    }
    (RESULTS / project).mkdir(parents=True, exist_ok=True)
    (RESULTS / project / f"{used}.json").write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    if dataset is None:
        shutil.rmtree(IMAGES / project, ignore_errors=True)
        shutil.copytree(reporting / "figures", IMAGES / project, ignore=shutil.ignore_patterns(*REPRINTED))


def _dataset(record: dict[str, Any]) -> str:
    """The public data set that was used, or the source, if it was another one."""
    is_public = record["source"] == "public"
    return str(record["parameters"]["ingest"].get("dataset", "public")) if is_public else str(record["source"])


def _main_dataset(project: str) -> str | None:
    """The data set that ``conf/benchmark`` names, if any; its results come first."""
    configured = yaml.safe_load((ROOT / "conf" / "benchmark" / project / "parameters.yml").read_text())
    dataset: str | None = configured[project].get("ingest", {}).get("dataset")
    return dataset


def write_tables() -> None:
    """Writes the root README's table of projects and each project's own tables."""
    results: dict[str, list[Any]] = {}
    for file in sorted(RESULTS.glob("*/*.json"), key=lambda file: (file.stem != _main_dataset(file.parent.name), file)):
        results.setdefault(file.parent.name, []).append(json.loads(file.read_text()))
    _replace(ROOT / "README.md", _overview(results))
    for project, measured in results.items():
        every = f"[All metrics, beside others](../../benchmarks/results/{project}/README.md)."
        tables = [f"`{one['dataset']}`:\n\n{_chosen(one)}" for one in measured]
        _replace(ROOT / "pipelines" / project / "README.md", "\n\n".join([*tables, every]))
        title = f"# Results of [{project}](../../../pipelines/{project}/README.md)"
        whole = [f"## `{one['dataset']}`\n\n{_details(one)}" for one in measured]
        (RESULTS / project / "README.md").write_text("\n\n".join([title, *whole]) + "\n", encoding="utf-8")


def _overview(results: dict[str, list[Any]]) -> str:
    lines = [
        "| project | data | metric | floor | ours (95 % interval) | published | command |",
        "|---|---|---|---|---|---|---|",
    ]
    for project in project_names():
        name = f"[{project}](pipelines/{project}/README.md): {load_project(project).title}"
        command = f"`kedro run --pipeline={project}`"
        for number, result in enumerate(results.get(project, [None])):
            numbers = "– | – | – | – | –" if result is None else _headline(result)
            if number and result is not None:
                name, command = "", f"`make benchmark PROJECT={project} DATASET={result['dataset']}`"
            lines.append(f"| {name} | {numbers} | {command} |")
    return "\n".join(lines)


def _headline(result: dict[str, Any]) -> str:
    """Cells of the overview: data, metric, floor, ours, published."""
    primary = result["primary"]
    published = _published(result["dataset"], primary)
    best = (max if result["greater_is_better"] else min)(published, key=lambda item: item[1], default=None)
    direction = "↑" if result["greater_is_better"] else "↓"
    return (
        f"`{result['dataset']}` | {primary} {direction} | {_number(result['floor'][primary])} "
        f"| {_with_interval(result['metrics'][primary])} | {f'{_number(best[1])} ({best[0]})' if best else '–'}"
    )


def _chosen(result: dict[str, Any]) -> str:
    """The primary metric and at most six others beside the trivial floor."""
    others = [name for name in result["metrics"] if name != result["primary"]]
    shown = result.get("shown") or [result["primary"], *others[:6]]  # older results do not say which
    return _against_floor(result, {name: result["metrics"][name] for name in shown})


def _against_floor(result: dict[str, Any], measured: dict[str, dict[str, float]]) -> str:
    lines = ["| metric | ours (95 % interval) | trivial floor |", "|---|---|---|"]
    lines += [
        f"| {name} | {_with_interval(metric)} | {_number(result['floor'][name])} |" for name, metric in measured.items()
    ]
    return "\n".join([*lines, "", f"{result['n_test']:,} test rows, {result['device']}."])


def _details(result: dict[str, Any]) -> str:
    """All metrics beside the trivial floor, then those that others have measured or published."""
    measured = {
        name: result["metrics"][name]
        for name in sorted(result["metrics"], key=_with_numbers_in_order)
        if result["metrics"][name]["value"] is not None
    }
    lines = [_against_floor(result, measured)]
    compared = [*_floors(result["dataset"]), *_references(result["dataset"])]
    others = [one for one in compared if measured.keys() & _numbers(one).keys()]
    if others:
        sources = "; ".join(dict.fromkeys(one.source for one in others))
        lines += ["", "Beside others:", "", *_beside(measured, others), "", f"Sources: {sources}."]
    return "\n".join(lines)


def _beside(measured: dict[str, dict[str, float]], others: list[Result]) -> list[str]:
    """A table of those metrics that any of the others has; the shorter of the two lists gives the columns."""
    names = [name for name in measured if any(name in _numbers(one) for one in others)]
    methods = ["**ours**", *map(_method, others)]
    cells = [[_number(measured[name]["value"]) for name in names]]
    cells += [[_number(_numbers(one).get(name)) for name in names] for one in others]
    if len(methods) < len(names):
        corner, heads, firsts, cells = "metric", methods, names, [list(row) for row in zip(*cells, strict=True)]
    else:
        corner, heads, firsts = "method", names, methods
    lines = [f"| {' | '.join([corner, *heads])} |", "|" + "---|" * (len(heads) + 1)]
    return lines + [f"| {' | '.join([first, *row])} |" for first, row in zip(firsts, cells, strict=True)]


def _with_numbers_in_order(name: str) -> list[str]:
    """A sorting key that puts ``lead_5`` before ``lead_10``."""
    return [part.zfill(9) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _published(dataset: str, metric: str) -> list[tuple[str, float]]:
    found = [(_method(one), _numbers(one).get(metric)) for one in _references(dataset)]
    return [(method, value) for method, value in found if value is not None]


def _method(reference: Result) -> str:
    """Name of a method, with a mark where a published figure was not read again in its source."""
    return f"{reference.method} †" if reference.evidence == "memory" else reference.method


def _numbers(reference: Result) -> dict[str, float]:
    """What a published result says in numbers."""
    return {name: value for name, value in reference.values.items() if isinstance(value, float)}


def _references(dataset: str) -> list[Result]:
    """Published results on a data set."""
    return results_on(dataset, lambda entry: entry.reference_results)


def _floors(dataset: str) -> list[Result]:
    """What simple methods reach on the test rows of a data set, measured on the same files."""
    return [one for one in results_on(dataset, lambda entry: entry.floors) if "test" in one.split.lower()]


def _with_interval(metric: dict[str, float]) -> str:
    if metric["low"] is None:
        return f"**{_number(metric['value'])}**"
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
    parser.add_argument("project", nargs="?")
    parser.add_argument("--dataset", help="one of the project's public data sets; default: what conf/benchmark names")
    parser.add_argument("--tables-only", action="store_true")
    arguments = parser.parse_args()
    if arguments.project:
        run(arguments.project, arguments.dataset)
    elif not arguments.tables_only:
        parser.error("name a project, or --tables-only")
    write_tables()


if __name__ == "__main__":
    main()
