"""``kedro predict``: scores a file or a folder with a registered version."""

from pathlib import Path

import click

from modelyard.commands.readable_errors import readable_errors


@click.command()
@click.option("--pipeline", "project", required=True, help="The project.")
@click.option(
    "--input",
    "source",
    required=True,
    type=click.Path(path_type=Path),
    help="Rows as .jsonl, .csv or .parquet with the fields of the project's requests, or a folder of pictures.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the answers go: .jsonl, .csv or .parquet.",
)
@click.option("--version", default="champion", show_default=True, help="Version number, or an alias.")
def predict(project: str, source: Path, output: Path, version: str) -> None:
    """Score a batch of rows by the code of the model server.

    Columns that requests do not have are carried over; a row that cannot be answered says why in the column `error`.
    A run that was interrupted goes on where it stopped when it is started again.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with readable_errors():
        from modelyard.batch_prediction.scoring import score
        from modelyard.batch_prediction.versions import chosen_version

        loaded = chosen_version(project, version)
        console = Console(stderr=True)
        columns = (TextColumn("scoring"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("", total=None)
            scored = score(loaded, source, output, lambda n_rows: bar.advance(task, n_rows))
    resumed = f", {scored.n_resumed:,} of them by an earlier run" if scored.n_resumed else ""
    click.echo(f"{scored.n_rows:,} rows{resumed}, {project} version {loaded.version}: {output}")
    if scored.n_failed:
        click.echo(f"{scored.n_failed:,} rows have no answer; the column 'error' says why")
