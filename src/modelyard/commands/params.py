"""``kedro params``: every parameter of a project, with its default, bounds, meaning, and where it is changed."""

import dataclasses
import json
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import click
from pydantic import BaseModel

from modelyard.commands.readable_errors import readable_errors
from modelyard.errors import ConfigurationError
from modelyard.paths import repository

_BOUNDS = {"ge": "≥ ", "gt": "> ", "le": "≤ ", "lt": "< "}


class Listed(NamedTuple):
    """One parameter.

    Args:
        path: Dotted, from the group on (``fit.booster.max_depth``).
        kind: What it may be, in words of YAML.
        default: As YAML writes it.
        bounds: Smallest and largest value; empty if there are none.
        description: What it means, with its unit.
    """

    path: str
    kind: str
    default: str
    bounds: str
    description: str


@click.command()
@click.argument("project")
@click.argument("only", default="")
def params(project: str, only: str) -> None:
    """List the parameters of PROJECT; ONLY keeps those whose path or description contains that text."""
    with readable_errors():
        groups = _groups(project)
        changed = _changes(project)
        needle = only.casefold()
        found = {
            group: [one for one in listed if needle in one.path.casefold() or needle in one.description.casefold()]
            for group, listed in groups.items()
        }
        if not any(found.values()):
            raise ConfigurationError(
                f"No parameter of {project} contains '{only}'.",
                way_out=f"groups are {', '.join(groups)}; `kedro params {project}` lists all",
            )
        _print(found, changed)
        example = next(one for listed in found.values() for one in listed)
        click.echo(
            f"\nFor one run:  kedro run --pipeline={project} --params={project}.{example.path}={example.default}"
        )
        click.echo(f"For all runs: conf/base/{project}/parameters.yml (differences only)")


def _groups(project: str) -> dict[str, list[Listed]]:
    from modelyard.lifecycle import parameter_types
    from modelyard.projects import load_project

    models = parameter_types(load_project(project))
    return {group: list(listed(model(), group)) for group, model in models.items()}


def listed(defaults: Any, path: str) -> Iterator[Listed]:
    """Yields the parameters of a pydantic model or a dataclass, those of nested ones in place of the nested one.

    Args:
        defaults: An instance that holds the defaults; a nested model's may differ from those of its class.
        path: Of the group; stands in front of each name.
    """
    described: Mapping[str, Any] = (
        type(defaults).model_fields if isinstance(defaults, BaseModel) else type(defaults).__pydantic_fields__
    )
    for name, field in described.items():
        default = getattr(defaults, name)
        if isinstance(default, BaseModel) or dataclasses.is_dataclass(default):
            yield from listed(default, f"{path}.{name}")
        else:
            bounds = " ".join(
                f"{sign}{value:g}"
                for bound in field.metadata
                for key, sign in _BOUNDS.items()
                if (value := getattr(bound, key, None)) is not None
            )
            yield Listed(f"{path}.{name}", _kind(field.annotation), _yaml(default), bounds, field.description or "")


def _kind(annotation: Any) -> str:
    """Returns a type as a person would say it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " | ".join(_kind(one) for one in arguments)
    if origin is not None and isinstance(origin, type):
        inner = ", ".join("…" if one is Ellipsis else _kind(one) for one in arguments)
        names = {"tuple": "list", "Sequence": "list", "Mapping": "mapping", "dict": "mapping"}
        return f"{names.get(origin.__name__, origin.__name__)} of {inner}"
    if annotation is type(None):
        return "null"
    return str(getattr(annotation, "__name__", annotation))


def _yaml(value: Any) -> str:
    """Returns a value as YAML and the command line write it."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return str(value) if isinstance(value, str) and value else json.dumps(value, default=str, ensure_ascii=False)


def _changes(project: str) -> dict[str, list[str]]:
    """Returns path to what each environment says (``ci: 60``), in the order of the folders of ``conf``."""
    import yaml

    found: dict[str, list[str]] = {}
    for file in sorted((repository() / "conf").glob(f"*/{project}/parameters*.yml")):
        values = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get(project) or {}
        for path, value in _flat(values, ""):
            found.setdefault(path, []).append(f"{file.parent.parent.name}: {_yaml(value)}")
    return found


def _flat(values: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _print(groups: Mapping[str, list[Listed]], changed: Mapping[str, list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    # A fixed width off a terminal keeps tables whole in log files.
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    for group, parameters in groups.items():
        if not parameters:
            continue
        table = Table("parameter", "default", "may be", "changed in", "meaning", box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        table.columns[4].ratio = 1
        for one in parameters:
            name = one.path.removeprefix(f"{group}.")
            changes = changed.get(one.path) or [
                f"{path.removeprefix(one.path)[1:]} {what}"
                for path, each in changed.items()
                if path.startswith(f"{one.path}.")
                for what in each
            ]
            table.add_row(name, one.default, f"{one.kind} {one.bounds}".strip(), "\n".join(changes), one.description)
        console.print(f"\n[bold]{group}[/bold]")
        console.print(table)
