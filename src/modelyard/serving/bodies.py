"""From the bytes of a body to validated requests: one, several, by key, or as MLflow's clients send them.

Rows and values are counted before anything is validated, and every step is a short one, so that a large body can be
read in a thread beside the event loop (see :mod:`modelyard.serving.json_slices`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic_core import from_json, to_json

from modelyard.errors import ModelyardError
from modelyard.feature_store.schema import feature_names
from modelyard.project import EncodedMedia
from modelyard.serving.json_slices import (
    BrokenJsonError,
    DenseJsonError,
    check_density,
    elements,
    first_key,
    has_more_values,
    members,
    opening,
)
from modelyard.serving.json_values import Place, Problem, leaves, problems_as_sent, problems_of

if TYPE_CHECKING:
    from modelyard.project import Budget, Project

MOST_PROBLEMS = 20
"""Problems that an answer names; what is wrong everywhere is wrong in the same way."""

_SHOWN_NAME = 100
_SHOWN_MESSAGE = 300
"""Characters: a validator's words, but not a whole value that the standard library repeats in its own."""
_BOM = b"\xef\xbb\xbf"
_FORMS = ("dataframe_records", "dataframe_split", "instances", "inputs")


class TooMuchError(ModelyardError):
    """A request has more rows or values, or asks for more work, than one may."""


class InvalidRequestError(Exception):
    """Something in a body is wrong.

    Args:
        problems: What, and where; the first :data:`MOST_PROBLEMS` are told.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(islice(problems, MOST_PROBLEMS))
        super().__init__(f"{len(self.problems)} problems")

    def detail(self) -> list[dict[str, Any]]:
        """What is wrong, by place; never with the values, which may be nobody's business."""
        return [
            {
                "loc": ["body", *(one[:_SHOWN_NAME] if isinstance(one, str) else one for one in problem.place)],
                "msg": problem.message,
                "type": problem.kind,
            }
            for problem in self.problems
        ]


class Body(NamedTuple):
    """What was asked.

    Args:
        requests: One for each row.
        is_batch: Whether the answer is a list.
    """

    requests: list[Any]
    is_batch: bool


class Reader:
    """Reads bodies for one request model.

    Args:
        model: The request model.
        max_rows: Of one body.
        max_values: Of one row: fields and entries of its lists.
        budget: Of the work that one body may ask for; None: there is no limit to it.
    """

    def __init__(self, model: type[BaseModel], max_rows: int, max_values: int, budget: "Budget | None" = None) -> None:
        self.model, self._budget = model, budget
        self.batch_model = create_model(
            f"{model.__name__}Batch",
            __config__=ConfigDict(extra="forbid"),
            # A model made at run time:
            instances=(list[model], Field(min_length=1, max_length=max_rows)),  # type: ignore[valid-type]
        )
        self._media = media_fields(model)
        self._validator = TypeAdapter(model).validator
        self._max_rows, self._max_values = max_rows, max_values

    def read(self, data: bytes) -> Body:
        """One request, a list of them, or ``{"instances": [...]}``.

        Raises:
            InvalidRequestError: Something is wrong; its place is named.
            TooMuchError: There are too many rows or values.
        """
        return _read(self._read, data)

    def read_invocation(self, data: bytes) -> Body:
        """``dataframe_records``, ``dataframe_split``, ``instances`` or ``inputs``, as MLflow's scoring server.

        NaN, which pandas writes for what is missing, counts as missing.

        Raises:
            InvalidRequestError: The body is none of them, or something is wrong; its place is named.
            TooMuchError: There are too many rows or values.
        """
        return _read(self._read_invocation, data)

    def _read(self, data: bytes) -> Body:
        if opening(data) == b"[":
            return self._batch(self._counted(elements(data)), ())
        if "instances" not in self.model.model_fields and _text(first_key(data)) == "instances":
            forms = {_text(key): value for key, value in members(data)}
            _only("instances", forms)
            if opening(forms["instances"]) != b"[":
                raise _wrong("Input should be a list", "instances")
            return self._batch(self._counted(elements(forms["instances"])), ("instances",))
        return Body(self._requests([data], lambda _: ()), is_batch=False)

    def _read_invocation(self, data: bytes) -> Body:
        if opening(data) != b"{":
            raise _wrong(f"Input should be an object with one of {', '.join(_FORMS)}")
        given = {_text(key): value for key, value in members(data) if value != b"null"}
        given.pop("params", None)
        unknown = [name for name in given if name not in _FORMS]
        if unknown or len(given) != 1:
            raise _wrong(f"give one of {', '.join(_FORMS)}", *unknown[:1])
        ((form, value),) = given.items()
        if form == "dataframe_split":
            rows = self._counted(_split_rows(value))
        elif form == "inputs" and opening(value) == b"{":
            rows = self._counted(_transposed(value, self._max_rows))
        else:
            rows = self._counted(elements(value))
        return self._batch([_without_missing(row) for row in rows], (form,))

    def _counted(self, rows: Iterable[bytes]) -> list[bytes]:
        counted = list(islice(rows, self._max_rows + 1))
        if len(counted) > self._max_rows:
            raise TooMuchError(
                f"The request has too many rows; at most {self._max_rows:,} are taken.",
                way_out="send them in several requests",
            )
        return counted

    def _batch(self, rows: list[bytes], place: Place) -> Body:
        if not rows:
            raise _wrong("there are no rows", *place)
        return Body(self._requests(rows, lambda number: (*place, number)), is_batch=True)

    def _requests(self, rows: list[bytes], place_of: Any) -> list[Any]:
        """Validated requests; ends at the row with which there are enough problems."""
        for row in rows:
            if has_more_values(row, self._max_values):
                raise TooMuchError(
                    f"A row has more than {self._max_values:,} values.",
                    way_out="leave out what the model does not take",
                )
        requests: list[Any] = []
        found: list[Problem] = []
        asked = 0.0
        for number, row in enumerate(rows):
            request, problems = self._request(row)
            requests.append(request)
            found += [problem._replace(place=(*place_of(number), *problem.place)) for problem in problems]
            if len(found) >= MOST_PROBLEMS:
                break
            if self._budget is not None and not problems:
                asked += self._budget.of(request)
                _check_work(asked, self._budget)
        # Media are decoded last, when it is known how much there is to decode.
        media = (
            Problem((*place_of(number), *place), "value_error", f"Value error, {message[:_SHOWN_MESSAGE]}")
            for number, request in enumerate(requests)
            for place, message in _damaged_media(request, self._media)
        )
        if found or (found := list(islice(media, MOST_PROBLEMS))):
            raise InvalidRequestError(found)
        return requests

    def _request(self, row: bytes) -> tuple[Any, list[Problem]]:
        try:
            sent = from_json(row, allow_inf_nan=False)
        except ValueError as error:
            return None, [Problem((), "json_invalid", f"Invalid JSON: {error}")]
        problems = list(islice(problems_as_sent(self.model, sent), MOST_PROBLEMS)) if isinstance(sent, dict) else []
        if len(problems) == MOST_PROBLEMS:
            return None, problems
        try:
            request = self._validator.validate_json(row)
        except ValidationError as error:
            told = {problem.place for problem in problems}
            return None, problems + [one for one in self._first_problems(error, sent) if one.place not in told]
        return request, problems or list(islice(problems_of(request), MOST_PROBLEMS))

    def _first_problems(self, error: ValidationError, sent: Any) -> list[Problem]:
        """The error's problems; where they are very many, those of the first entries of each list."""
        if error.error_count() > 10 * MOST_PROBLEMS:
            try:
                self._validator.validate_json(to_json(_shortened(sent)))
            except ValidationError as shorter:
                error = shorter
            if error.error_count() > 100 * MOST_PROBLEMS:
                return [Problem((), "too_many", f"{error.error_count():,} values are wrong")]
        return problems_in(error)


def by_key_model(project: "Project") -> type[BaseModel] | None:
    """The request without its features and with the entities' keys; None where no feature is part of the request."""
    request = project.api.request
    features = set(feature_names(project.feature_views))
    if not features & set(request.model_fields):
        return None
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in request.model_fields.items() if name not in features
    }
    for view in project.feature_views:
        kind = int if view.entity_dtype == "int64" else str
        fields.setdefault(view.entity, (kind, Field(description=f"Key of the features of {view.name}.")))
    return create_model(
        f"{request.__name__}ByKey",
        __config__=ConfigDict(extra="forbid"),
        __doc__=f"{request.__name__} without its features, which come from the online store.",
        **fields,
    )


def joined(project: "Project", keyed: Sequence[Any], features: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Full requests from keyed ones and the features of each.

    Raises:
        InvalidRequestError: What is known of a key does not make a valid request; its row is named.
    """
    request = project.api.request
    requests = []
    for row, (own, known) in enumerate(zip(keyed, features, strict=True)):
        fields = {name: getattr(own, name) for name in own.model_fields_set if name in request.model_fields}
        wanted = {name: value for name, value in known.items() if value is not None and name in request.model_fields}
        try:
            requests.append(request.model_validate(fields | wanted))
        except ValidationError as error:
            raise InvalidRequestError(
                Problem((row, *one.place), "online_features", one.message) for one in problems_in(error)
            ) from error
    return requests


def _check_work(asked: float, budget: "Budget") -> None:
    """Checks what the rows so far ask for together.

    Raises:
        TooMuchError: It is more than the project's budget.
    """
    if asked > budget.most:
        raise TooMuchError(
            f"The request asks for more than {budget.most:,.0f} {budget.unit}.",
            way_out="ask for less, or in several requests",
        )


def media_fields(model: type[BaseModel]) -> list[str]:
    """Names of the fields that hold media."""
    return [
        name
        for name, field in model.model_fields.items()
        if any(isinstance(leaf, type) and issubclass(leaf, EncodedMedia) for leaf in leaves(field.annotation))
    ]


def _damaged_media(request: Any, fields: Iterable[str]) -> Iterator[tuple[Place, str]]:
    """Decodes the request's media; yields place and message of each that cannot be."""
    for name in fields:
        value = getattr(request, name)
        is_list = isinstance(value, (list, tuple))
        for number, medium in enumerate(value if is_list else [value]):
            try:
                if isinstance(medium, EncodedMedia):
                    medium.decode_media()
            except ValueError as error:
                yield (name, number) if is_list else (name,), str(error)


def problems_in(error: ValidationError) -> list[Problem]:
    """Pydantic's error as problems, without the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [Problem(tuple(one["loc"]), one["type"], one["msg"][:_SHOWN_MESSAGE]) for one in found[:MOST_PROBLEMS]]


def _read(read: Any, data: bytes) -> Body:
    data = data.removeprefix(_BOM)
    try:
        check_density(data)
        body: Body = read(data)
    except BrokenJsonError as error:
        raise InvalidRequestError([Problem((), "json_invalid", str(error))]) from error
    except DenseJsonError as error:
        raise TooMuchError(f"The request has {error}.", way_out="send less in a request") from error
    return body


def _split_rows(split: bytes) -> Iterable[bytes]:
    """Rows as objects, of pandas' form ``split``."""
    parts = {_text(key): value for key, value in members(split)}
    if opening(parts.get("columns", b"")) != b"[" or opening(parts.get("data", b"")) != b"[":
        raise _wrong("columns and data are lists", "dataframe_split")
    columns = list(elements(parts["columns"]))
    if not all(column.startswith(b'"') for column in columns):
        raise _wrong("names of columns are text", "dataframe_split", "columns")
    for number, row in enumerate(elements(parts["data"])):
        values = list(elements(row)) if opening(row) == b"[" else []
        if len(values) != len(columns):
            message = f"the row has {len(values)} values for {len(columns)} columns"
            raise _wrong(message, "dataframe_split", "data", number)
        yield _object(columns, values)


def _transposed(columns: bytes, max_rows: int) -> list[bytes]:
    """Columns of equal length, or the values of one row, as rows."""
    parts = dict(members(columns))
    if not all(opening(value) == b"[" for value in parts.values()):
        return [columns]
    values = [list(islice(elements(column), max_rows + 1)) for column in parts.values()]
    lengths = {len(column) for column in values}
    if len(lengths) > 1:
        raise _wrong(f"the columns have lengths {sorted(lengths)}", "inputs")
    return [_object(parts, row) for row in zip(*values, strict=True)]


def _object(keys: Iterable[bytes], values: Iterable[bytes]) -> bytes:
    return b"{" + b",".join(b"%s:%s" % pair for pair in zip(keys, values, strict=True)) + b"}"


def _without_missing(row: bytes) -> bytes:
    """The row without the fields that are NaN."""
    if b"NaN" not in row or opening(row) != b"{":
        return row
    kept = [(key, value) for key, value in members(row) if value != b"NaN"]
    return _object((key for key, _ in kept), (value for _, value in kept))


def _text(key: bytes) -> str:
    """The text of a key; empty for what is none."""
    try:
        return str(from_json(key))
    except ValueError:
        return ""


def _only(name: str, forms: Mapping[str, bytes]) -> None:
    unknown = [one for one in forms if one != name]
    if unknown:
        raise InvalidRequestError(
            Problem((one,), "extra_forbidden", "Extra inputs are not permitted") for one in unknown
        )


def _shortened(value: Any) -> Any:
    if isinstance(value, list):
        return [_shortened(one) for one in value[:MOST_PROBLEMS]]
    if isinstance(value, dict):
        return {key: _shortened(one) for key, one in value.items()}
    return value


def _wrong(message: str, *place: str | int) -> InvalidRequestError:
    return InvalidRequestError([Problem(place, "body", message)])
