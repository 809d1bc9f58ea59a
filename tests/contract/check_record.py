"""The record: what a project promises about its columns, features, parameters, API and schedule."""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from modelyard.feature_store.schema import feature_names
from modelyard.lifecycle import parameter_types
from modelyard.play.description import Number, Verdict
from modelyard.records import CURRENCY, Column
from modelyard.training.parameters import LoopParameters
from tests.contract.shelves import Shelves

SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

WITHOUT_UNIT = {"count", "index", "probability", "rate", "ratio", "risk", "score", "share"}
"""Words in a column's name that say why it has no unit."""

CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""Minute, hour, day of month, month, day of week (POSIX crontab; 7 is Sunday too)."""

OF_THE_REQUEST = {
    "picture_field": "picture",
    "history_field": "series or bars",
    "lead_field": "number or choice or none",
    "beginning_field": "piano_roll",
}
"""What an output names of the request, and the kind of input that must set it; ``none``: it may have no widget."""

POLARS_NAMES = {"string": "String", "int64": "Int64", "float64": "Float64", "float32": "Float32", "bool": "Boolean"}


def the_record_bears_the_folders_name(shelves: Shelves) -> list[str]:
    project = shelves.project()
    spaces = {node.namespace for node in _pipeline(shelves).nodes}
    problems = [f"PROJECT.name is {project.name!r}"] if project.name != shelves.name else []
    return problems + [f"the pipeline's namespaces are {spaces}"] * (spaces != {shelves.name})


def _pipeline(shelves: Shelves) -> Any:
    import importlib

    return importlib.import_module(f"pipelines.{shelves.name}").create_pipeline()


def columns_say_what_they_hold(shelves: Shelves) -> list[str]:
    contract = shelves.project().contract
    names = [column.name for column in contract.columns]
    problems = [f"column {name} is there twice" for name in {name for name in names if names.count(name) > 1}]
    special = {"key": contract.key, "event_time": contract.event_time}
    for role, name in (special | {"target": contract.target, "group": contract.group}).items():
        if name is not None and name not in names:
            problems.append(f"the {role} {name!r} is no column")
    return problems + [f"column {column.name}: {problem}" for column in contract.columns for problem in _flaws(column)]


def _flaws(column: Column) -> Iterator[str]:
    words = column.name.split("_")
    if not SNAKE_CASE.fullmatch(column.name):
        yield "the name is not snake_case"
    if not column.description.strip():
        yield "there is no description"
    if column.dtype == "float64" and not column.unit and not WITHOUT_UNIT & set(words):
        yield f"a quantity without unit; if it has none, its name says so with one of {sorted(WITHOUT_UNIT)}"
    if column.unit not in ("", CURRENCY) and not column.name.endswith(f"_{_slug(column.unit)}"):
        yield f"the name does not end in its unit, _{_slug(column.unit)}"
    if column.dtype == "bool" and words[0] not in ("is", "has"):
        yield "a boolean starts with is_ or has_"
    if column.dtype == "datetime" and column.name != "event_time" and words[-1] != "at":
        yield "a time ends in _at"


def _slug(unit: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", unit.lower().replace("°", "").replace("%", "pct")).strip("_")


def features_say_what_they_hold(shelves: Shelves) -> list[str]:
    project = shelves.project()
    columns = {column.name: column for column in project.contract.columns}
    names = feature_names(project.feature_views)
    views = [view.name for view in project.feature_views]
    problems = [f"feature {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    problems += [f"view {name} is there twice" for name in sorted({n for n in views if views.count(n) > 1})]
    problems += [f"feature {name} is also a column of the records" for name in names if name in columns]
    problems += [f"{name} is not snake_case" for name in [*names, *views] if not SNAKE_CASE.fullmatch(name)]
    for view in project.feature_views:
        if view.entity not in columns or columns[view.entity].dtype != view.entity_dtype:
            problems.append(f"view {view.name}: there is no column {view.entity} of type {view.entity_dtype}")
        described = [(view.name, view.description), *((each.name, each.description) for each in view.features)]
        problems += [f"{name} has no description" for name, text in described if not text.strip()]
    return problems


def parameters_are_described_and_bounded(shelves: Shelves) -> list[str]:
    problems = []
    for group, model in parameter_types(shelves.project()).items():
        problems += [f"{group}.{problem}" for problem in _undescribed(model)]
        try:
            model()
        except ValueError as error:
            problems.append(f"{group}: '{{}}' does not mean all defaults: {error}")
    return problems


def the_loop_is_steered_by_its_own_parameters(shelves: Shelves) -> list[str]:
    """What the loop has is written once: as ``loop: LoopParameters`` of the fit's parameters, in every project."""
    own, loop = f"pipelines.{shelves.name}.", set(LoopParameters.model_fields)
    problems = []
    for path, model, annotation in _nested("fit", parameter_types(shelves.project())["fit"]):
        name = path.rpartition(".")[2]
        if annotation is LoopParameters and name != "loop":
            problems.append(f"{path} is LoopParameters under another name than loop")
        if name in loop and model.__module__.startswith(own):
            problems.append(f"{path} is a parameter of the loop: nest loop: LoopParameters")
    return problems


def _nested(path: str, model: type) -> Iterator[tuple[str, type, Any]]:
    """Dotted path, owner and annotation of every parameter."""
    for name, annotation, _, _ in _fields(model):
        yield f"{path}.{name}", model, annotation
        if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
            yield from _nested(f"{path}.{name}", annotation)


def _undescribed(model: type) -> Iterator[str]:
    for name, annotation, description, is_bounded in _fields(model):
        if not description:
            yield f"{name} has no description"
        numeric = any(kind in (int, float) for kind in (annotation, *getattr(annotation, "__args__", ())))
        if numeric and not is_bounded:
            yield f"{name} has no bounds; give them, or the reason as json_schema_extra={{'unbounded': '...'}}"
        if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
            yield from (f"{name}.{problem}" for problem in _undescribed(annotation))


def _fields(model: type) -> Iterator[tuple[str, Any, str, bool]]:
    """Name, annotation, description and whether there are bounds, for each field of a pydantic model or a dataclass."""
    if issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            bounds = [part for part in field.metadata if any(hasattr(part, word) for word in ("ge", "gt", "le", "lt"))]
            yield name, field.annotation, field.description or "", bool(bounds or extra.get("unbounded"))
    else:
        for item in dataclasses.fields(model):  # type: ignore[arg-type]  # the caller asked is_dataclass
            bounds = [word for word in ("ge", "gt", "le", "lt") if word in item.metadata]
            yield item.name, item.type, item.metadata.get("description", ""), bool(bounds)


def the_schedule_is_a_cron_expression(shelves: Shelves) -> list[str]:
    schedule = shelves.project().schedule
    fields = schedule.split()
    if len(fields) != len(CRON_RANGES):
        return [f"the schedule {schedule!r} has {len(fields)} fields, not 5"]
    return [
        f"the schedule {schedule!r}: {field!r} is not within {low} to {high}"
        for field, (low, high) in zip(fields, CRON_RANGES, strict=True)
        if not all(_is_cron_part(part, low, high) for part in field.split(","))
    ]


def _is_cron_part(part: str, low: int, high: int) -> bool:
    found = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", part)
    if found is None:
        return False
    first, last = int(found[1] or low), int(found[2] or found[1] or high)
    return low <= first <= last <= high


def the_example_can_be_decoded(shelves: Shelves) -> list[str]:
    from modelyard.model_registry.mlflow_model import signature

    project = shelves.project()
    api = project.api
    signature(api.request, api.response)
    if api.request.model_validate_json(api.example.model_dump_json()) != api.example:
        return ["the example is another one after a trip through JSON"]
    frame = api.decode([api.example, api.example])
    problems = [f"2 requests become {frame.height} rows"] if frame.height != 2 else []
    for view in project.feature_views:
        for feature in view.features:
            wanted = POLARS_NAMES.get(feature.dtype)
            found = str(frame.schema.get(feature.name, "nothing"))
            if found == "nothing" or (wanted and found != wanted):
                problems.append(f"decode() gives {found} for feature {feature.name}, not {feature.dtype}")
    return problems


def media_of_requests_have_a_budget(shelves: Shelves) -> list[str]:
    from modelyard.serving.bodies import media_fields

    api = shelves.project().api
    if api.budget is None and (fields := media_fields(api.request)):
        return [f"a request may hold any number of pixels or samples in {', '.join(fields)}: Api.budget limits them"]
    return []


def the_page_shows_what_the_api_has(shelves: Shelves) -> list[str]:
    """Inputs set fields of the request, outputs show fields of the response, and what belongs together is there."""
    project = shelves.project()
    play, request, response = project.play, project.api.request.model_fields, project.api.response.model_fields
    if play is None:
        return ["the record has no page: play.py describes it, and pipeline.py names it"]
    problems = [] if play.question.endswith("?") else [f"the page's question {play.question!r} is none"]
    problems += [] if play.meaning.endswith(".") else ["the page does not say what the primary metric means"]
    kinds = {each.field: each.kind for each in play.inputs}
    for each in play.inputs:
        places = {name: value for name, value in each if value and (name == "field" or name.endswith("_field"))}
        ratios = getattr(each, "sets_ratios", {})
        named = [*places.values(), *getattr(each, "follows", ()), *getattr(each, "sets", ()), *ratios, *ratios.values()]
        problems += [f"input {each.field}: {name} is no field of the request" for name in _beyond(named, request)]
    for each in play.outputs:
        asked = {name: getattr(each, name) for name in OF_THE_REQUEST if hasattr(each, name)}
        told = [v for n, v in each if v and n not in asked and (n == "field" or n.endswith("_field"))]
        problems += [f"output {each.field}: {name} is no field of the response" for name in _beyond(told, response)]
        problems += [
            f"output {each.field}: the page has no input of the kind {OF_THE_REQUEST[name]} for {field}"
            for name, field in asked.items()
            if field not in request or kinds.get(field, "none") not in OF_THE_REQUEST[name].split(" or ")
        ]
        if isinstance(each, Verdict) and (missing := _values_of(response[each.field]) - set(each.tones)):
            problems.append(f"output {each.field}: {', '.join(sorted(missing))} has no tone")
    return problems


def _beyond(names: Iterable[str], fields: Mapping[str, Any]) -> list[str]:
    return [name for name in names if name not in fields]


def _values_of(field: Any) -> set[str]:
    """The values that a response's field may have, where its type lists them."""
    if field.annotation is bool:
        return {"true", "false"}
    return set(get_args(field.annotation)) if get_origin(field.annotation) is Literal else set()


def the_pages_examples_are_requests(shelves: Shelves) -> list[str]:
    """At least three; the server's own reader takes each as it is, and with every slider at its ends."""
    from modelyard.serving.bodies import InvalidRequestError, Reader

    project = shelves.project()
    if project.play is None:
        return []
    reader, examples = Reader(project.api.request, 10, 20_000), project.play.examples()
    problems = [f"the page has {len(examples)} examples, fewer than 3"] if len(examples) < 3 else []
    titles = [example.title for example in examples]
    problems += [f"two examples are called {name!r}" for name in sorted({n for n in titles if titles.count(n) > 1})]
    for example in examples:
        tried = {"": dict(example.request)}
        for each in project.play.inputs:
            if isinstance(each, Number):
                tried[f" with {each.field} at its least"] = {**example.request, each.field: _sent(each, each.minimum)}
                tried[f" with {each.field} at its most"] = {**example.request, each.field: _sent(each, each.maximum)}
        for how, request in tried.items():
            try:
                body = reader.read(json.dumps(request).encode())
                if not how and project.api.decode(body.requests).height != 1:
                    problems.append(f"example {example.title!r} is not decoded to one row")
            except (InvalidRequestError, ValueError) as error:
                told = error.detail() if isinstance(error, InvalidRequestError) else error
                problems.append(f"example {example.title!r}{how} is no request: {told}")
    return problems


def _sent(number: Number, value: float) -> float:
    """A number as the page sends it: whole where its steps are."""
    return int(value) if number.step == int(number.step) else value


def expectations_can_be_built(shelves: Shelves) -> list[str]:
    from great_expectations.expectations.expectation import Expectation

    project = shelves.project()
    built = project.expectations(parameter_types(project)["ingest"]())
    names = {column.name for column in project.contract.columns}
    problems = ["there are no expectations"] if not built else []
    for each in built:
        if not isinstance(each, Expectation):
            problems.append(f"{each!r} is no expectation")
            continue
        if not each.description:
            problems.append(f"{type(each).__name__} has no description: what would a reader of the report see?")
        if getattr(each, "column", None) not in {None, *names}:
            problems.append(f"{type(each).__name__}: there is no column {each.column!r}")
    return problems


CHECKS = (
    the_record_bears_the_folders_name,
    columns_say_what_they_hold,
    features_say_what_they_hold,
    parameters_are_described_and_bounded,
    the_loop_is_steered_by_its_own_parameters,
    the_schedule_is_a_cron_expression,
    the_example_can_be_decoded,
    media_of_requests_have_a_budget,
    the_page_shows_what_the_api_has,
    the_pages_examples_are_requests,
    expectations_can_be_built,
)
