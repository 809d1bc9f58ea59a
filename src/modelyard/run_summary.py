"""Prints a summary at the end of a run: stage times, rows, test metrics, reports, and commands to try next."""

import math
from typing import TYPE_CHECKING, Any

from modelyard.model_registry.versions import CHALLENGER
from modelyard.paths import data_directory, repository

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from rich.console import Group

REPORTS = ("report.html", "validation_report.html", "model_card.md", "metrics.json", "figures")

_UNDEFINED = "–"
"""Printed for a metric that is undefined on the rows."""


def show(project: str, seconds: dict[str, float], catalog: "CatalogProtocol[Any, Any]", pipeline: "Pipeline") -> None:
    """Prints the summary of one project's run to standard output.

    Args:
        project: Its name.
        seconds: Node name to its wall time.
        catalog: Read for the documents that this run made; a partial run shows what it has.
        pipeline: What was run.
    """
    from rich.console import Console

    made = {name: catalog.load(f"{project}.{name}") for name in _documents(project, pipeline)}
    # A fixed width off a terminal keeps tables whole in log files.
    console = Console(width=None if Console().is_terminal else 110, highlight=False)
    console.print(_render(project, _stages(project, seconds), made))


def _documents(project: str, pipeline: "Pipeline") -> list[str]:
    outputs = pipeline.all_outputs()
    names = ("validation_summary", "tuning_summary", "evaluation", "model_version")
    return [name for name in names if f"{project}.{name}" in outputs]


def _stages(project: str, seconds: dict[str, float]) -> list[tuple[str, float]]:
    prefix = f"{project}."
    return [(name.removeprefix(prefix), time) for name, time in seconds.items() if name.startswith(prefix)]


def _render(project: str, stages: list[tuple[str, float]], made: dict[str, Any]) -> "Group":
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(), Text(f"{project}: done in {sum(time for _, time in stages):.1f} s", style="bold green")]
    parts.append(_stage_table(stages))
    if "validation_summary" in made:
        parts.append(Text(_rows_line(made["validation_summary"])))
    if "evaluation" in made:
        evaluation = made["evaluation"]
        parts += [_metrics_table(evaluation), _gate_line(evaluation["gate"])]
    if "model_version" in made:
        parts.append(Text(_version_line(project, made["model_version"])))
        parts.append(Text(_where_to_look(project, made)))
    return Group(*parts)


def _stage_table(stages: list[tuple[str, float]]) -> Any:
    from rich.table import Table

    longest = max((time for _, time in stages), default=1.0)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(width=16)
    table.add_column(justify="right", width=9)
    table.add_column()
    for name, time in stages:
        table.add_row(name, f"{time:.1f} s", "█" * max(1, round(30 * time / longest)), style="default")
    return table


def _rows_line(validation: dict[str, Any]) -> str:
    return (
        f"\nrows: {validation['n_ingested']:,} in, {validation['n_accepted']:,} accepted, "
        f"{validation['n_rejected']:,} rejected"
    )


def _metrics_table(evaluation: dict[str, Any]) -> Any:
    from rich.table import Table

    champion = evaluation["champion"]
    table = Table(title=f"\nTest metrics ({evaluation['n_test']:,} rows never trained on)", title_justify="left")
    for heading in ("metric", "value", "95 % interval", "floor", "champion"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    if n_more := len(evaluation["metrics"]) - len(evaluation["shown"]):
        table.caption = f"{n_more} more in metrics.json"
        table.caption_justify = "left"
    for name in evaluation["shown"]:
        metric = evaluation["metrics"][name]
        has_interval = _number(metric["low"]) != _UNDEFINED
        table.add_row(
            name,
            _number(metric["value"]),
            f"{_number(metric['low'])} to {_number(metric['high'])}" if has_interval else "",
            _number(evaluation["floor"][name]),
            _number(champion[name]) if champion else "none yet",
            style="bold" if name == evaluation["primary"] else "default",
        )
    return table


def _gate_line(gate: dict[str, Any]) -> Any:
    from rich.text import Text

    word, style = ("passed", "bold green") if gate["passed"] else ("FAILED", "bold red")
    return Text.assemble("gate ", (word, style), f": {gate['reason']}")


def _version_line(project: str, version: dict[str, Any]) -> str:
    what = "registered as" if version["is_new"] else "the same model as before, registered already as"
    aliases = f" (alias {', '.join(version['aliases'])})" if version["aliases"] else ""
    return f"{what} {project} version {version['version']}{aliases}"


def _where_to_look(project: str, made: dict[str, Any]) -> str:
    """Returns the paths of the reports, and the commands that are useful after this run."""
    version = made["model_version"]
    folder = data_directory() / "08_reporting" / project
    folder = folder.relative_to(repository()) if folder.is_relative_to(repository()) else folder
    reports = "\n".join(f"  {folder / name}" for name in REPORTS)
    commands = {
        "kedro up": "play with it, on the first page that is printed",
        "mlflow ui": "look at the run and its versions",
    }
    if made.get("validation_summary", {}).get("n_rejected"):
        commands[f"kedro quarantine show {project}"] = "rejected rows and why"
    if not made.get("evaluation", {}).get("gate", {}).get("passed", True):
        commands[f"kedro run --pipeline={project} --params={project}.tune.n_trials=30"] = (
            "search longer: the gate failed"
        )
    if CHALLENGER in version["aliases"]:
        commands[f"kedro promote {project} --version {version['version']}"] = "make it the champion, then: kedro serve"
    width = max(map(len, commands)) + 4
    shown = "\n".join(f"  {command:{width}}{what}" for command, what in commands.items())
    return f"\nreports:\n{reports}\n\nnext:\n{shown}"


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return _UNDEFINED
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4f}"
