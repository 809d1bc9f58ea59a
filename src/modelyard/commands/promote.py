"""``kedro promote``: makes a registered version the champion, or restores the previous champion."""

import getpass

import click

from modelyard.commands.readable_errors import readable_errors


@click.command()
@click.argument("project")
@click.option("--version", help="Number of the version that becomes champion.")
@click.option("--rollback", "is_rollback", is_flag=True, help="Give the alias back to the champion before.")
@click.option("--sign", "signs", is_flag=True, help="Sign the version: its files are trusted as they are.")
def promote(project: str, version: str | None, is_rollback: bool, signs: bool) -> None:
    """Make a version the champion of PROJECT, as moving its alias in the MLflow UI does; the server follows.

    A version whose gate did not pass, or that is not signed with the key in MODELYARD_SIGNING_KEY, is refused.
    """
    from modelyard.errors import ConfigurationError
    from modelyard.model_registry.promotion import promote as move
    from modelyard.model_registry.promotion import rollback
    from modelyard.projects import check_project_name

    with readable_errors():
        check_project_name(project)
        if is_rollback == bool(version) or (is_rollback and signs):
            raise ConfigurationError(
                "Give a version or ask for the one before, one of the two.",
                where="kedro promote",
                way_out=f"kedro promote {project} --version N, or kedro promote {project} --rollback",
            )
        change = move(project, version, by=getpass.getuser(), signs=signs) if version else rollback(project)
    if change.version == change.previous:
        click.echo(f"{project}: version {change.version} is the champion already")
    else:
        click.echo(f"{project}: champion is version {change.version}, was {change.previous or 'none'}")
