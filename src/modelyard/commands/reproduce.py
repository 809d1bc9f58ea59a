"""``kedro reproduce``: re-runs a registered version and compares the results."""

import sys
import tempfile
from pathlib import Path

import click

from modelyard.commands.readable_errors import readable_errors


@click.command()
@click.argument("project")
@click.option("--version", required=True, help="Version number in the registry.")
@click.option("--with-this-code", is_flag=True, help="Use the checkout as it stands if its code is not the recorded.")
def reproduce(project: str, version: str, with_this_code: bool) -> None:
    """Re-run a registered version from its run record and compare digests of data, weights and metrics.

    Exits with 0 if everything is the same to the last digit, else with 1 and the differences.
    """
    from modelyard.lineage.reproduction import fetch_version
    from modelyard.lineage.reproduction import reproduce as run_again
    from modelyard.projects import check_project_name

    with readable_errors(), tempfile.TemporaryDirectory(prefix="reproduce-") as temporary:
        check_project_name(project)
        folder = fetch_version(project, version, Path(temporary) / "version")
        compared = run_again(project, folder, Path(temporary) / "data", with_this_code=with_this_code)
        click.echo(f"\n{project} version {version}:")
        for one in compared:
            if one.is_equal:
                click.echo(f"  {click.style('same', fg='green')}       {one.what}: {one.recorded}")
            else:
                click.echo(
                    f"  {click.style('DIFFERENT', fg='red')}  {one.what}: {one.recorded} is now {one.reproduced}"
                )
        differing = sum(not one.is_equal for one in compared)
    click.echo("reproduced to the last digit" if not differing else f"{differing} of {len(compared)} differ")
    sys.exit(1 if differing else 0)
