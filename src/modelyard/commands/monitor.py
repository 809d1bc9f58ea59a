"""``kedro monitor``: compares served requests and predictions with the reference of the model's version."""

import math
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelyard.commands.readable_errors import readable_errors
from modelyard.errors import ALARM_EXIT_STATUS, DataContractError

if TYPE_CHECKING:
    from rich.console import Group

    from modelyard.monitoring.reference import MonitorParameters

_N_SHOWN = 12


@click.command()
@click.option("--pipeline", "-p", "projects", required=True, multiple=True, help="A project; may be given repeatedly.")
@click.option("--window", default="7d", show_default=True, help="Length up to now (or --until): 30m, 12h, 7d, 2w.")
@click.option("--since", help="Begin of the window instead, ISO 8601; without an offset it is UTC.")
@click.option("--until", help="End of the window, ISO 8601; by default now.")
@click.option("--batch", type=click.Path(path_type=Path), help="Score and judge this Parquet or CSV file of requests.")
@click.option("--labels", type=click.Path(path_type=Path), help="Labels; by default those in the label folder.")
@click.option("--version", help="A version of the model; by default the champion.")
@click.option("--env", "-e", default=None, help="Kedro environment of the project's `monitor` parameters.")
def monitor(
    projects: tuple[str, ...],
    window: str,
    since: str | None,
    until: str | None,
    batch: Path | None,
    labels: Path | None,
    version: str | None,
    env: str | None,
) -> None:
    """Compare served requests and predictions with the reference stored with the model's version.

    Exits with 0 without an alarm, with 10 after an alarm, and with the error's status after an error. Several projects
    are monitored one after the other, also if one fails; the command exits with the most severe of their statuses: an
    error, then an alarm, then 3 (nothing was served).
    """
    from modelyard.tracking.journal import start_writer

    with readable_errors():
        _check_options(projects, batch=batch, labels=labels, version=version)
    statuses = [
        _look(project, (window, since, until), batch=batch, labels=labels, version=version, env=env)
        for project in dict.fromkeys(projects)
    ]
    start_writer()
    sys.exit(max(statuses, key=_gravity))


def _check_options(projects: Sequence[str], **options: Any) -> None:
    """Checks that the projects exist, and that options for a single project are not given for several.

    Raises:
        ConfigurationError: A project does not exist, or such an option is given for several.
    """
    from modelyard.errors import ConfigurationError
    from modelyard.projects import check_project_name

    for project in projects:
        check_project_name(project)
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if len(set(projects)) > 1 and given:
        raise ConfigurationError(
            f"{' and '.join(given)} cannot be meant for {len(set(projects))} projects at once.",
            where="--pipeline",
            way_out="give one project with it",
        )


def _look(
    project: str,
    window: tuple[str, str | None, str | None],
    *,
    batch: Path | None,
    labels: Path | None,
    version: str | None,
    env: str | None,
) -> int:
    """Monitors one project, prints the verdict or the error, and returns the exit status."""
    from datetime import UTC, datetime

    from modelyard.monitoring.watch import Question, watch
    from modelyard.monitoring.windows import window_of

    try:
        with readable_errors():
            length, since, until = window
            question = Question(
                project=project,
                version=version,
                window=window_of(length, since, until, datetime.now(UTC)),
                batch=batch,
                labels=labels,
            )
            verdict, folder = watch(question, _parameters(project, env))
            _show(verdict, folder)
    except SystemExit as ended:
        return int(ended.code or 0)
    return ALARM_EXIT_STATUS if verdict["alarms"] else 0


def _gravity(status: int) -> int:
    """Returns the rank of an exit status: an error is highest, then an alarm, then that nothing was served."""
    harmless = (0, DataContractError.exit_code, ALARM_EXIT_STATUS)
    return harmless.index(status) if status in harmless else len(harmless)


def _parameters(project: str, env: str | None) -> "MonitorParameters":
    """Returns the parameter group ``monitor`` of the project's configuration.

    Raises:
        ConfigurationError: A value is not allowed, or the environment does not exist.
    """
    from pydantic import ValidationError

    from modelyard.errors import ConfigurationError
    from modelyard.monitoring.reference import MonitorParameters

    try:
        return MonitorParameters.model_validate(_configuration(env).get(project, {}).get("monitor") or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join([project, "monitor", *map(str, first["loc"])])
        raise ConfigurationError(f"{first['msg']}.", where=name, way_out="docs/monitoring.md") from error


@cache
def _configuration(env: str | None) -> dict[str, Any]:
    """Returns the parameters of all projects; several projects of one command share them.

    Raises:
        ConfigurationError: The environment does not exist.
    """
    from kedro.config import OmegaConfigLoader

    from modelyard.errors import ConfigurationError
    from modelyard.paths import repository
    from modelyard.settings import CONFIG_LOADER_ARGS

    folder = repository() / "conf"
    if env and not (folder / env).is_dir():
        known = sorted(path.name for path in folder.iterdir() if path.is_dir())
        raise ConfigurationError(f"There is no environment '{env}'.", where=str(folder), way_out=", ".join(known))
    settings: Any = CONFIG_LOADER_ARGS
    found: dict[str, Any] = OmegaConfigLoader(conf_source=str(folder), env=env, **settings)["parameters"]
    return found


def _show(verdict: Mapping[str, Any], folder: Path) -> None:
    from rich.console import Console

    # A fixed width off a terminal keeps tables whole in log files.
    console = Console(width=None if Console().is_terminal else 110, highlight=False)
    console.print(_render(verdict, folder))


def _render(verdict: Mapping[str, Any], folder: Path) -> "Group":
    from rich.console import Group
    from rich.text import Text

    from modelyard.monitoring.html_report import SHOWN_ALARMS

    window, measured = verdict["window"], verdict["performance"]
    parts: list[Any] = [
        Text(f"\n{verdict['project']} version {verdict['model_version']}: {verdict['n_rows']:,} rows", style="bold"),
        Text(
            f"served from {window['since'][:16]} to {window['until'][:16]} (UTC)"
            if verdict["source"] == "served"
            else f"batch {verdict['source']}"
        ),
        _drift_table(verdict),
    ]
    if verdict["n_set_aside"]:
        parts.append(Text(f"{verdict['n_set_aside']:,} rows of the log cannot be read and are set aside", style="bold"))
    if not verdict["is_tested"]:
        least = verdict["parameters"]["min_rows"]
        parts.append(Text(f"{verdict['n_judged']:,} rows, fewer than {least}: nothing was tested"))
    if measured:
        before = measured["reference"]
        parts.append(
            Text(
                f"{measured['metric']} {_number(measured['value'])} ({_number(measured['low'])} to "
                f"{_number(measured['high'])}) on {measured['n_labelled']:,} labelled rows; reference "
                f"{_number(before['value'])} ({_number(before['low'])} to {_number(before['high'])})"
            )
        )
    alarms = verdict["alarms"]
    parts += [Text(f"ALARM  {alarm}", style="bold red") for alarm in alarms[:SHOWN_ALARMS]]
    if len(alarms) > SHOWN_ALARMS:
        parts.append(Text(f"and {len(alarms) - SHOWN_ALARMS} more alarms, in the report", style="bold red"))
    if not alarms:
        parts.append(Text("no alarm", style="bold green"))
    parts.append(Text(f"\n{folder / 'report.html'}\n{folder / 'verdict.json'}"))
    return Group(*parts)


def _drift_table(verdict: Mapping[str, Any]) -> Any:
    from rich.table import Table

    found = sorted(verdict["columns"] + verdict["prediction"]["columns"], key=lambda one: -one["distance"])
    table = Table(title=f"\nFurthest from the reference, of {len(found)} columns", title_justify="left")
    for heading in ("column", "distance", "large from", "p (all columns)", "mean before", "mean now"):
        table.add_column(heading, justify="left" if heading == "column" else "right")
    for one in found[:_N_SHOWN]:
        table.add_row(
            one["name"],
            f"{one['distance']:.3f}",
            f"{one['threshold']:.3f}",
            f"{one['p_value_adjusted']:.2g}",
            _number(one["mean_before"]),
            _number(one["mean"]),
            style="bold red" if one["is_drifted"] else "default",
        )
    return table


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.4g}"
