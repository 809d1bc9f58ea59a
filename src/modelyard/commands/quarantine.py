"""``kedro quarantine``: lists, shows and releases rejected rows."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelyard.commands.readable_errors import readable_errors

if TYPE_CHECKING:
    import polars as pl

    from modelyard.records import Contract
    from modelyard.validation.quarantine import Selection

_N_SHOWN_RELEASES = 20


@click.group()
def quarantine() -> None:
    """List, show and release rejected rows; releases take effect in the next run."""


@quarantine.command("list")
@click.argument("project", required=False)
def list_reasons(project: str | None) -> None:
    """Count the rejected rows of PROJECT (or of all) by the rule they break, and list what was released."""
    with readable_errors():
        names = [_known(project)] if project else _projects_with_quarantine()
        if not names:
            click.echo("Nothing is in quarantine: no project has been run here.")
        for name in names:
            _print_counts(name)


@quarantine.command()
@click.argument("project")
@click.option("--key", "keys", multiple=True, help="Only the row with this key; may be given several times.")
@click.option("--reason", default="", help="Only rows with this text in a reason.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many rows to print.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write all these rows to a CSV to edit.")
def show(project: str, keys: tuple[str, ...], reason: str, limit: int, save: Path | None) -> None:
    """Print the rejected rows of PROJECT with their reasons."""
    from modelyard.validation.quarantine import Selection

    with readable_errors():
        rejected, contract = _load(project)
        selection = Selection(keys=keys, reason=reason, is_all=not keys and not reason)
        rows = _select(rejected, contract, selection)
        if save:
            from modelyard.validation.corrections import save_for_editing

            save_for_editing(rows, contract, save)
            click.echo(
                f"{rows.height:,} rows written; correct cells, then: kedro quarantine release {project} --from {save}"
            )
            return
        _print_rows(rows.head(limit), contract)
        if rows.height > limit:
            click.echo(f"… and {rows.height - limit:,} more (--limit, --reason, or --save rows.csv)")


@quarantine.command()
@click.argument("project")
@click.option("--key", "keys", multiple=True, help="The row with this key; may be given several times.")
@click.option("--row", "rows", multiple=True, type=int, help="The row with this number; may be given several times.")
@click.option("--reason", default="", help="Rows with this text in a reason.")
@click.option("--all", "is_all", is_flag=True, help="Every rejected row.")
@click.option("--set", "settings", multiple=True, metavar="COLUMN=VALUE", help="Correct a cell of these rows.")
@click.option("--from", "table", type=click.Path(path_type=Path, dir_okay=False), help="A CSV with corrected cells.")
@click.option("--note", default="", help="Why; kept with the release.")
def release(
    project: str,
    keys: tuple[str, ...],
    rows: tuple[int, ...],
    reason: str,
    is_all: bool,
    settings: tuple[str, ...],
    table: Path | None,
    note: str,
) -> None:
    """Release rejected rows of PROJECT into the next run, unchanged or corrected (--set, --from).

    A row is released only from the rules that it breaks now, and only while its content stays the same. Cells that
    cannot be read, missing values and keys that exist already need a correction; corrected rows are checked again.
    """
    from modelyard.validation.quarantine import Selection

    selection = Selection(keys=keys, rows=rows, reason=reason, is_all=is_all)
    is_selected = bool(keys or rows or reason or is_all)
    if is_selected == bool(table) or (table and settings):
        raise click.UsageError("Say which rows: --key, --row, --reason or --all, perhaps with --set; or --from alone.")
    with readable_errors():
        rejected, contract = _load(project)
        if table:
            from modelyard.validation.corrections import corrections_from_table

            chosen, corrections = corrections_from_table(table, rejected, contract)
        else:
            chosen, corrections = _corrected(_select(rejected, contract, selection), contract, settings)
        _store(project, contract, chosen, corrections, note)


@quarantine.command()
@click.argument("project")
@click.option("--key", "keys", multiple=True, help="The release of this key; may be given several times.")
@click.option("--all", "is_all", is_flag=True, help="Every release.")
def withdraw(project: str, keys: tuple[str, ...], is_all: bool) -> None:
    """Withdraw releases of PROJECT: their rows are checked like all others again."""
    from modelyard.errors import ConfigurationError
    from modelyard.validation.quarantine import change_releases
    from modelyard.validation.quarantine import withdraw as without

    if bool(keys) == is_all:
        raise click.UsageError("Say which releases: --key (several times if needed) or --all.")
    with readable_errors():
        before, after = change_releases(_known(project), lambda released: without(released, keys, is_all))
        if before == after:
            raise ConfigurationError(
                "No release was withdrawn.",
                where=f"{project}: {before} releases",
                way_out=f"kedro quarantine list {project} shows them",
            )
        click.echo(f"{before - after:,} releases withdrawn, {after:,} left")


def _known(project: str) -> str:
    from modelyard.projects import check_project_name

    check_project_name(project)
    return project


def _load(project: str) -> "tuple[pl.DataFrame, Contract]":
    from modelyard.projects import load_project
    from modelyard.validation.quarantine import read_rejected

    contract = load_project(project).contract
    return read_rejected(project), contract


def _projects_with_quarantine() -> list[str]:
    from modelyard.projects import project_names
    from modelyard.validation.quarantine import folder

    return [name for name in project_names() if (folder(name) / "rejected_records.parquet").exists()]


def _select(rejected: "pl.DataFrame", contract: "Contract", selection: "Selection") -> "pl.DataFrame":
    """Returns the selected rows; if there are none, it is an error, except for a selection of all rows."""
    from modelyard.errors import ConfigurationError
    from modelyard.validation.quarantine import select_rows

    rows = select_rows(rejected, contract.key, selection)
    if rows.is_empty() and not selection.is_all:
        raise ConfigurationError(
            "No rejected row is like that.",
            where=f"{rejected.height:,} rejected rows of the last run",
            way_out="kedro quarantine list shows the rules, kedro quarantine show the rows",
        )
    return rows


def _corrected(
    rows: "pl.DataFrame", contract: "Contract", settings: tuple[str, ...]
) -> "tuple[pl.DataFrame, list[dict[str, str | None]]]":
    """Returns the rows and their corrections; without a correction, only the rows that may be released unchanged."""
    import polars as pl

    from modelyard.errors import ConfigurationError
    from modelyard.validation.corrections import corrections_from_settings
    from modelyard.validation.quarantine import IS_RELEASABLE, REASONS

    corrections = corrections_from_settings(settings, contract)
    if contract.key in corrections and rows.height > 1:
        raise ConfigurationError(
            f"{rows.height:,} rows cannot have the same {contract.key}.",
            where=f"--set {contract.key}",
            way_out="name one row (--row), or correct them in a table (--from)",
        )
    if corrections:
        return rows, [corrections] * rows.height
    releasable = rows.filter(pl.col(IS_RELEASABLE))
    if rows.height > releasable.height:
        first = rows.filter(~pl.col(IS_RELEASABLE))[REASONS][0]
        left = (
            f"{rows.height - releasable.height:,} rows cannot be released as they are, for example: {'; '.join(first)}"
        )
        if releasable.is_empty():
            raise ConfigurationError(
                left + ".", where="the data contract", way_out="correct them: --set column=value, or --from rows.csv"
            )
        click.echo(f"{left}; they need a correction (--set, --from)")
    return releasable, [{}] * releasable.height


def _store(
    project: str, contract: "Contract", rows: "pl.DataFrame", corrections: "list[dict[str, str | None]]", note: str
) -> None:
    from modelyard.errors import ConfigurationError
    from modelyard.validation.quarantine import ROW_DIGEST, change_releases
    from modelyard.validation.quarantine import release as released_with

    if rows[ROW_DIGEST].null_count():
        raise ConfigurationError(
            "The table as a whole does not fit the contract, so no single row can be released.",
            where=f"rejected rows of {project}",
            way_out="correct the data, or map its columns (ingest.columns)",
        )
    if rows.is_empty():
        click.echo("Nothing to release: no cell was changed." if corrections == [] else "Nothing to release.")
        return
    change_releases(project, lambda old: released_with(old, rows, contract.key, corrections, note))
    how = "corrected" if any(corrections) else "released as they are"
    click.echo(f"{rows.height:,} rows {how}; they enter with the next run: kedro run --pipeline={project}")


def _print_counts(project: str) -> None:
    from modelyard.validation.quarantine import read_rejected, read_released, rule_counts

    rejected, released = read_rejected(project), read_released(project)
    click.echo(f"{click.style(project, bold=True)}: {rejected.height:,} rows rejected in the last run")
    for rule, n_rows, n_releasable in rule_counts(rejected).iter_rows():
        way_back = "" if n_releasable == n_rows else f"  ({n_rows - n_releasable:,} need a correction)"
        click.echo(f"  {n_rows:>9,}  {rule}{way_back}")
    if released.height:
        click.echo(f"  {released.height:,} releases stored:")
    for key, corrections, note in released.head(_N_SHOWN_RELEASES).select("key", "corrections", "note").iter_rows():
        what = "as it is" if corrections == "{}" else f"corrected {corrections}"
        click.echo(f"    {key}: {what}" + (f" ({note})" if note else ""))
    if released.height > _N_SHOWN_RELEASES:
        click.echo(f"    … and {released.height - _N_SHOWN_RELEASES:,} more")


def _print_rows(rows: "pl.DataFrame", contract: "Contract") -> None:
    from modelyard.validation.quarantine import IS_RELEASABLE, REASONS, ROW_NUMBER

    names = [column.name for column in contract.columns if column.name in rows.columns]
    for row in rows.iter_rows(named=True):
        way_back = "" if row[IS_RELEASABLE] else ", needs a correction"
        click.echo(click.style(f"row {row[ROW_NUMBER]}, {contract.key} {row.get(contract.key)}", bold=True) + way_back)
        for reason in row[REASONS]:
            click.echo("  " + click.style(reason, fg="red"))
        # Columns that the source does not have are null and would only lengthen the output.
        values = [f"{name}={row[name]}" for name in names if row[name] is not None]
        click.echo("  " + ", ".join(values))
    if rows.is_empty():
        click.echo("No rows are rejected.")
