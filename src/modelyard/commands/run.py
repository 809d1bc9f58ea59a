"""``kedro run``: Kedro's own command with both spellings of the pipeline option, readable errors and ``--quiet``."""

import logging
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from modelyard.commands.readable_errors import readable_errors
from modelyard.errors import ConfigurationError
from modelyard.paths import data_directory

_kedro_run: Any = kedro_run.callback  # click declares it as optional; Kedro's command has one


def _run(quiet: bool, open_report: bool, pipeline: str | None, pipelines: list[str], **options: Any) -> None:
    """Runs a project's pipeline, from ingestion to registration."""
    if quiet:
        logging.getLogger().setLevel(logging.WARNING)
        logging.getLogger("modelyard").setLevel(logging.WARNING)
    # Kedro 1.7 warns that --pipeline is deprecated; here both spellings mean the same, without a warning.
    names = [*pipelines, *([pipeline] if pipeline else [])]
    with readable_errors():
        if "ParallelRunner" in str(options.get("runner")):
            raise ConfigurationError(
                "ParallelRunner does not apply: a project's stages follow one another.",
                where="--runner",
                way_out="leave it out; trials run side by side by themselves (tune.n_parallel)",
            )
        _kedro_run(pipeline=None, pipelines=names, **options)
    if open_report:
        for name in names:
            report = data_directory() / "08_reporting" / name / "report.html"
            if report.is_file():
                click.launch(report.as_uri())


run = click.Command(
    name="run",
    callback=_run,
    help="Run a project's pipeline: kedro run --pipeline=<project> [--env=ci|benchmark|prod].",
    params=[
        *kedro_run.params,
        click.Option(["--quiet", "-q"], is_flag=True, help="Warnings and errors only."),
        click.Option(["--open", "open_report"], is_flag=True, help="Open the run's report in the browser at the end."),
    ],
)
