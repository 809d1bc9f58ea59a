"""From the bytes of a body to validated requests: one, several, by key, or as MLflow's clients send them."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic_core import InitErrorDetails, PydanticCustomError

from modelyard.errors import ModelyardError
from modelyard.feature_store.schema import feature_names

if TYPE_CHECKING:
    from modelyard.project import Project

_INSTANCES = re.compile(rb'\s*\{\s*"instances"\s*:')


class TooManyRowsError(ModelyardError):
    """A request has more rows than one may have."""


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
    """

    def __init__(self, model: type[BaseModel], max_rows: int) -> None:
        self.model = model
        self.batch_model = create_model(
            f"{model.__name__}Batch",
            __config__=ConfigDict(extra="forbid"),
            instances=(list[model], Field(min_length=1)),  # type: ignore[valid-type]  # a model made at run time
        )
        self._one = TypeAdapter(model).validator
        self._many = TypeAdapter(list[model]).validator  # type: ignore[valid-type]  # as above
        self._max_rows = max_rows

    def read(self, data: bytes) -> Body:
        """One request, a list of them, or ``{"instances": [...]}``.

        Raises:
            ValidationError: A field is wrong; its place is named.
            TooManyRowsError: There are too many.
        """
        if data.lstrip()[:1] == b"[":
            return self._checked(self._many.validate_json(data))
        if _INSTANCES.match(data) and "instances" not in self.model.model_fields:
            batch: Any = self.batch_model.model_validate_json(data)
            return self._checked(batch.instances)
        return Body([self._one.validate_json(data)], is_batch=False)

    def read_invocation(self, data: bytes) -> Body:
        """``dataframe_records``, ``dataframe_split``, ``instances`` or ``inputs``, as MLflow's scoring server.

        Raises:
            ValidationError: The body is none of them, or a field is wrong.
            TooManyRowsError: There are too many.
        """
        rows = _Invocation.model_validate_json(data).rows()
        if len(rows) > self._max_rows:
            raise _too_many(len(rows), self._max_rows)
        return self._checked(self._many.validate_python([_without_missing(row) for row in rows]))

    def _checked(self, requests: list[Any]) -> Body:
        if not requests:
            raise _value_error("there are no rows")
        if len(requests) > self._max_rows:
            raise _too_many(len(requests), self._max_rows)
        return Body(requests, is_batch=True)


class _Split(BaseModel):
    columns: list[str]
    data: list[list[Any]]

    def rows(self) -> list[dict[str, Any]]:
        """One object for each row."""
        wrong = [number for number, row in enumerate(self.data) if len(row) != len(self.columns)]
        if wrong:
            raise _value_error(f"row {wrong[0]} has {len(self.data[wrong[0]])} values for {len(self.columns)} columns")
        return [dict(zip(self.columns, row, strict=True)) for row in self.data]


class _Invocation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    dataframe_records: list[dict[str, Any]] | None = None
    dataframe_split: _Split | None = None
    instances: list[dict[str, Any]] | None = None
    inputs: dict[str, Any] | list[dict[str, Any]] | None = None
    params: dict[str, Any] | None = None

    def rows(self) -> list[dict[str, Any]]:
        """One object for each row, whichever form was sent."""
        forms = ("dataframe_records", "dataframe_split", "instances", "inputs")
        given = [name for name in forms if getattr(self, name) is not None]
        if len(given) != 1:
            raise _value_error(f"give one of {', '.join(forms)}")
        value = getattr(self, given[0])
        if isinstance(value, _Split):
            return value.rows()
        return _transposed(value) if isinstance(value, Mapping) else list(value)


def _transposed(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns of equal length, or the values of one row, as rows."""
    if not all(isinstance(values, list) for values in columns.values()):
        return [dict(columns)]
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise _value_error(f"the columns have lengths {sorted(lengths)}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _without_missing(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not (isinstance(value, float) and math.isnan(value))}


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
        ValidationError: What is known of a key does not make a valid request; its row is named.
    """
    request = project.api.request
    requests = []
    for row, (own, known) in enumerate(zip(keyed, features, strict=True)):
        fields = {name: getattr(own, name) for name in own.model_fields_set if name in request.model_fields}
        wanted = {name: value for name, value in known.items() if value is not None and name in request.model_fields}
        try:
            requests.append(request.model_validate(fields | wanted))
        except ValidationError as error:
            raise _at_row(error, row) from error
    return requests


def problems(error: ValidationError) -> list[dict[str, Any]]:
    """What is wrong, by place; never with the values, which may be nobody's business."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [{"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]} for one in found]


def _at_row(error: ValidationError, row: int) -> ValidationError:
    details = [
        InitErrorDetails(
            type=PydanticCustomError("online_features", "{message}", {"message": one["msg"]}),
            loc=(row, *one["loc"]),
            input=None,
        )
        for one in error.errors(include_url=False, include_input=False)
    ]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def _value_error(message: str) -> ValidationError:
    kind = PydanticCustomError("body", "{message}", {"message": message})
    return ValidationError.from_exception_data(
        "body", [InitErrorDetails(type=kind, loc=(), input=None)], hide_input=True
    )


def _too_many(rows: int, max_rows: int) -> TooManyRowsError:
    return TooManyRowsError(
        f"The request has {rows:,} rows; at most {max_rows:,} are taken.", way_out="send them in several requests"
    )
