"""What no request may hold, whatever its model accepts: values that JSON, the log or a table could not give back.

Pydantic reads ``true`` as 1, a number as seconds since 1970, and takes integers and times of any size; files of own
data may not have these either.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel

Place = tuple[str | int, ...]
_LARGEST_INTEGER = 2**63 - 1
_HARMLESS = {str, bool, type(None)}


class Problem(NamedTuple):
    """One thing that is wrong.

    Args:
        place: Field, and entry of a list.
        kind: As pydantic names it, or ours.
        message: For people; never with the value.
    """

    place: Place
    kind: str
    message: str


class _Kinds(NamedTuple):
    """What JSON values a field takes."""

    takes_bool: bool
    is_time: bool


def problems_as_sent(model: type[BaseModel], row: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a row as it was sent, before pydantic makes other values of it."""
    fields = _kinds(model)
    if model.model_config.get("extra") == "forbid":
        known = set(fields) | {field.alias for field in model.model_fields.values() if field.alias}
        for name in row:
            if name not in known:
                yield Problem((name,), "extra_forbidden", "Extra inputs are not permitted")
    for name, kinds in fields.items():
        value = row.get(name)
        entries = value if isinstance(value, list) else [value]
        types = set(map(type, entries))
        if kinds.is_time:
            if types & {int, float, bool} or any(_is_number(one) for one in entries if isinstance(one, str)):
                message = "A time is written as text, such as 2026-05-31T08:00:00Z, not as a number"
                yield Problem((name,), "time_type", message)
        elif bool in types and not kinds.takes_bool:
            place = (name, [type(one) for one in entries].index(bool)) if entries is value else (name,)
            yield Problem(place, "bool_not_allowed", "Neither true nor false means anything here")
        elif float in types:  # 1e400 is infinity, which a validator of the whole row would tell without the field
            for within, message in _wrong_values(value):
                yield Problem((name, *within), "value_out_of_range", message)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def problems_of(request: BaseModel) -> Iterator[Problem]:
    """What is wrong with the values of a validated request."""
    for place, message in _wrong_entries(vars(request).items()):
        yield Problem(place, "value_out_of_range", message)


def _wrong_values(value: Any) -> Iterator[tuple[Place, str]]:
    if isinstance(value, (list, tuple)):
        types = set(map(type, value))
        if not types <= _HARMLESS and not (types == {float} and all(map(math.isfinite, value))):
            yield from _wrong_entries(enumerate(value))
    elif isinstance(value, dict):
        yield from _wrong_entries((str(key), one) for key, one in value.items())
    elif isinstance(value, BaseModel):
        yield from _wrong_entries(vars(value).items())
    elif message := _wrong_value(value):
        yield (), message


def _wrong_entries(entries: Iterable[tuple[str | int, Any]]) -> Iterator[tuple[Place, str]]:
    for name, entry in entries:
        if type(entry) in _HARMLESS:
            continue
        for place, message in _wrong_values(entry):
            yield (name, *place), message


def _wrong_value(value: Any) -> str:
    """What is wrong with a single value, empty if nothing is."""
    if isinstance(value, float) and not math.isfinite(value):
        return "A number must be finite"
    if isinstance(value, int) and not -_LARGEST_INTEGER - 1 <= value <= _LARGEST_INTEGER:
        return "An integer must have at most 64 bits"
    if isinstance(value, datetime):
        try:
            value.astimezone(UTC)
        except (OverflowError, ValueError):
            return "A time must lie between the years 1 and 9999 in UTC, too"
    return ""


@cache
def _kinds(model: type[BaseModel]) -> dict[str, _Kinds]:
    found = {}
    for name, field in model.model_fields.items():
        kinds = set(leaves(field.annotation)) - {type(None)}
        is_time = bool(kinds) and all(_is_time(kind) for kind in kinds)
        takes_bool = not kinds or any(kind not in (int, float, str) and not _is_time(kind) for kind in kinds)
        found[name] = _Kinds(takes_bool, is_time)
    return found


def leaves(annotation: Any) -> Iterator[Any]:
    """The types at the bottom of an annotation: of unions, lists and the like."""
    if get_origin(annotation) is Literal:
        yield from (type(value) for value in get_args(annotation))
    elif hasattr(annotation, "__metadata__"):
        yield from leaves(get_args(annotation)[0])
    elif arguments := [one for one in get_args(annotation) if one is not Ellipsis]:
        for one in arguments:
            yield from leaves(one)
    else:
        yield annotation


def _is_time(leaf: Any) -> bool:
    """A time or a date, pydantic's own kinds (``AwareDatetime``) included."""
    is_class = isinstance(leaf, type) and issubclass(leaf, date)
    return is_class or getattr(leaf, "__name__", "").endswith(("Datetime", "Date"))
