"""``kedro data``: lists, fetches and verifies public data sets."""

from typing import TYPE_CHECKING

import click

from modelyard.commands.readable_errors import readable_errors

if TYPE_CHECKING:
    from modelyard.public_data.catalogue import PublicDataset


@click.group()
def data() -> None:
    """List, fetch and verify public data sets."""


@data.command("list")
def list_datasets() -> None:
    """Show the public data sets that projects can use, and which are here."""
    from rich.console import Console
    from rich.table import Table

    from modelyard.public_data.catalogue import load_catalogue

    with readable_errors():
        table = Table("name", "title", "MB", "licence", "projects", "here", box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        table.columns[2].justify = "right"
        for dataset in load_catalogue().values():
            megabytes = f"{dataset.total_bytes / 1e6:.1f}"
            projects = ", ".join(dataset.projects)
            table.add_row(dataset.name, dataset.title, megabytes, dataset.licence, projects, _here(dataset))
    # A fixed width off a terminal keeps tables whole in log files.
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    console.print(table)


@data.command()
@click.argument("names", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every data set of the catalogue.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def fetch(names: tuple[str, ...], all_: bool, quiet: bool) -> None:
    """Fetch data sets: from the mirror in MODELYARD_DATA_MIRROR, else from their publishers; verified, resumed."""
    from modelyard.public_data.fetch import fetch as fetch_dataset

    with readable_errors():
        for dataset in _chosen(names, all_):
            click.echo(f"{click.style(dataset.name, bold=True)}: {dataset.title}")
            click.echo(f"  licence:  {'. '.join(filter(None, (dataset.licence, dataset.licence_note)))}")
            click.echo(f"  citation: {dataset.citation}")
            folder = fetch_dataset(dataset.name, quiet=quiet)
            size = f"{dataset.total_bytes / 1e6:.1f} MB"
            click.echo(f"  here:     {folder} ({_count(dataset)}, {size}, sha256 verified)")


@data.command()
@click.argument("names", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every data set that has been fetched.")
def verify(names: tuple[str, ...], all_: bool) -> None:
    """Read every byte of data sets that are here and compare it with the published sha256."""
    from modelyard.errors import FetchError
    from modelyard.public_data.fetch import verify as verify_dataset

    with readable_errors():
        wrong = []
        for dataset in _chosen(names, all_):
            if _here(dataset) == "no":
                click.echo(f"{dataset.name}: not fetched")
                wrong += [] if all_ else [dataset.name]
                continue
            problems = verify_dataset(dataset.name)
            for path, problem in problems.items():
                click.echo(f"{dataset.name}: {click.style('wrong', fg='red')}: {path}: {problem}")
            if problems:
                wrong.append(dataset.name)
            else:
                click.echo(f"{dataset.name}: {click.style('verified', fg='green')}: {_count(dataset)}")
        if wrong:
            raise FetchError(
                f"Not the published data set: {', '.join(wrong)}.",
                way_out=f"`kedro data fetch {' '.join(wrong)}` fetches what is missing or wrong anew",
            )


def _chosen(names: tuple[str, ...], all_: bool) -> "list[PublicDataset]":
    """Returns the data sets that the command line names; every name is checked before anything is done."""
    from modelyard.public_data.catalogue import find_dataset, load_catalogue

    if bool(names) == all_:
        raise click.UsageError("Name one or more data sets, or give --all; `kedro data list` shows them.")
    catalogue = load_catalogue()
    return [find_dataset(name, catalogue) for name in names] or list(catalogue.values())


def _here(dataset: "PublicDataset") -> str:
    """Returns ``yes`` (judged by file sizes and modification times), ``no``, or ``in part``."""
    from modelyard.public_data.cache import Cache

    cache = Cache.of(dataset)
    if cache.is_verified():
        return "yes"
    return "in part" if cache.folder.is_dir() and any(cache.folder.iterdir()) else "no"


def _count(dataset: "PublicDataset") -> str:
    files = sum(1 for _ in dataset.all_files())
    return f"{files} file" if files == 1 else f"{files} files"
