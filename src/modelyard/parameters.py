"""The base class of parameter models, and the annotations by which Kedro finds a node's parameter model."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from modelyard.errors import ConfigurationError


class Parameters(BaseModel):
    """The parameters of one function; declared beside it, validated by Kedro before any node runs.

    Each field carries a description, a unit where it has one, bounds and the one place of its default. YAML under
    ``conf/`` holds differences only, also of nested models: what is not given comes from the field's default, not from
    the defaults of the nested model's class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _read_differences(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        for name in values:
            if name not in cls.model_fields:
                near = get_close_matches(str(name), cls.model_fields, n=1, cutoff=0.5)
                hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(cls.model_fields)}"
                raise ValueError(f"unknown parameter '{name}'; {hint}")
        return {name: _over(cls.model_fields[name].default, value) for name, value in values.items()}


def _over(default: Any, value: Any) -> Any:
    """Returns a nested model's default (pydantic model or dataclass) with the differences that ``value`` holds."""
    if not isinstance(value, Mapping) or not (isinstance(default, BaseModel) or is_dataclass(default)):
        return value
    names = type(default).model_fields if isinstance(default, BaseModel) else [each.name for each in fields(default)]
    inherited = {name: getattr(default, name) for name in names}
    return inherited | {name: _over(inherited.get(name), given) for name, given in value.items()}


class SourceParameters(Parameters):
    """The source of the records; the base of every project's ingest parameters.

    A project narrows ``source`` and ``dataset`` to a ``Literal`` of what it offers.
    """

    source: str = Field("simulated", description="Which of the sources.")
    dataset: str = Field("", description="Public data set.")
    path: str = Field("", description="Own data: a file or a folder.")
    columns: Mapping[str, str] = Field(
        {},
        description="Own data: a contract's column to the file's, where they differ; names optional columns to read.",
    )


class NoParameters(Parameters):
    """The parameters of a stage that a project does not have."""


def parameters_of(function: Callable[..., Any]) -> type[Parameters]:
    """Returns the parameter model of ``function``, from its one argument annotated with a :class:`Parameters` class.

    Other annotations may name types that are imported for type checkers only.

    Raises:
        ConfigurationError: No argument, or more than one, is annotated with a parameter model.
    """
    found = []
    for parameter in inspect.signature(function).parameters.values():
        annotation = parameter.annotation
        if isinstance(annotation, str):
            annotation = _resolve(annotation, function)
        if isinstance(annotation, type) and issubclass(annotation, Parameters):
            found.append(annotation)
    if len(found) != 1:
        raise ConfigurationError(
            f"{function.__qualname__} has {len(found)} arguments annotated with a parameter model, not one.",
            where=function.__module__,
            way_out="annotate its parameters with the project's Parameters class, imported at module level",
        )
    return found[0]


def typed(function: Callable[..., Any], **types: type[Parameters]) -> Callable[..., Any]:
    """Annotates ``function``'s parameter arguments for Kedro, in place, and returns it.

    Kedro builds and checks a node's parameters from its annotations and gives up on the whole function when one of
    them cannot be resolved; so a stage's node function carries these annotations and no others.
    """
    function.__annotations__ = dict(types)
    return function


def _resolve(annotation: str, function: Callable[..., Any]) -> Any:
    namespace: Any = function.__globals__
    for part in annotation.split("."):
        namespace = namespace.get(part) if isinstance(namespace, dict) else getattr(namespace, part, None)
    return namespace
