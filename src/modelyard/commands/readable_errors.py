"""Prints errors on the command line: one message, the exit status of its class, no traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from modelyard.errors import ConfigurationError, ModelyardError


@contextmanager
def readable_errors() -> Iterator[None]:
    """Prints a :class:`ModelyardError` of the block, however Kedro has wrapped it, and exits with its status.

    Other exceptions are bugs and keep their traceback.
    """
    try:
        yield
    except Exception as error:
        known = _modelyard_error(error)
        if known is None:
            raise
        first, *rest = known.lines()
        click.echo(click.style("Error: ", fg="red", bold=True) + first, err=True)
        for line in rest:
            click.echo(line, err=True)
        sys.exit(known.exit_code)


def _modelyard_error(error: BaseException) -> ModelyardError | None:
    from kedro.validation.exceptions import ParameterValidationError

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ModelyardError):
            return seen
        if isinstance(seen, ParameterValidationError):
            return ConfigurationError(
                _tidy(str(seen)), where="conf/ or --params", way_out="nothing was run; correct it"
            )
        seen = seen.__cause__ or seen.__context__
    return None


def _tidy(message: str) -> str:
    """Returns Kedro's and pydantic's report without their boilerplate lines."""
    lines = [line for line in message.splitlines() if "errors.pydantic.dev" not in line]
    return "\n".join(line.split(" [type=")[0] for line in lines)
