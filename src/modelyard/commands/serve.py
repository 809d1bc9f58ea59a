"""``kedro serve``: serves all champions from one HTTP server."""

from collections.abc import Callable
from typing import Any

import click

from modelyard.commands.readable_errors import readable_errors


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for each field of the settings; an environment variable can set it too."""
    from modelyard.serving.server_settings import ServingSettings

    for name, field in reversed(ServingSettings.model_fields.items()):
        flag = f"--{name.replace('_', '-')}"
        is_switch = field.annotation is bool
        several = name == "project"
        command = click.option(
            f"{flag}/--no-{name.replace('_', '-')}" if is_switch else flag,
            name,
            multiple=several,
            default=None,
            envvar=f"MODELYARD_SERVE_{name.upper()}",
            help=f"{field.description}" + ("" if several else f" [default: {field.default}]"),
        )(command)
    return command


@click.command()
@_options
def serve(**options: Any) -> None:
    """Serve the champions of all projects over HTTP; promotions in MLflow are live within seconds.

    API keys: MODELYARD_API_KEYS holds the sha256 of each key that may ask.
    """
    from pydantic import ValidationError

    from modelyard.errors import ConfigurationError
    from modelyard.projects import check_project_name
    from modelyard.serving.server import listen
    from modelyard.serving.server import serve as run_server
    from modelyard.serving.server_settings import ServingSettings

    given = {name: value for name, value in options.items() if value not in (None, ())}
    with readable_errors():
        try:
            settings = ServingSettings.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            option = "--" + "".join(str(part) for part in first["loc"][:1]).replace("_", "-")
            raise ConfigurationError(f"{first['msg']}.", where=option, way_out="kedro serve --help") from error
        for name in settings.project:
            check_project_name(name)
        taken = listen(settings)
        host, port = taken.getsockname()[:2]
        click.echo(f"http://{host}:{port}/   every project, to play with")
        click.echo(f"http://{host}:{port}/docs   every project's routes")
        click.echo(f"http://{host}:{port}/readyz   what is loaded; Ctrl-C ends")
        run_server(settings, taken)
