"""The OpenAPI document: every project's own schemas on its own routes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

if TYPE_CHECKING:
    from modelyard.serving.routes import ProjectRoutes

_REFERENCE = "#/components/schemas/{model}"
_ERRORS = {
    "401": "An API key is needed.",
    "413": "The body is too large, has too many rows or values, or asks for too much work.",
    "415": "The body is no JSON.",
    "422": "A field is wrong; its name is in `detail[].loc`.",
    "500": "The prediction failed.",
    "503": "No version serves yet, or too many requests wait; see `Retry-After`.",
    "504": "It took too long.",
}
_ERROR_NAME = "RequestError"
_ERROR = {
    "type": "object",
    "properties": {
        "detail": {
            "description": "What is wrong; of wrong fields a list, with the place of each.",
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                            "msg": {"type": "string"},
                            "type": {"type": "string"},
                        },
                        "required": ["loc", "msg", "type"],
                    },
                },
            ],
        },
        "where": {"type": "string"},
        "way_out": {"type": "string"},
        "request_id": {"type": "string", "description": "What to look for in the server's log."},
    },
    "required": ["detail"],
}


def openapi_document(title: str, version: str, routes: "Sequence[ProjectRoutes]") -> dict[str, Any]:
    """OpenAPI 3.1 of the projects' routes.

    Args:
        title: Of the document.
        version: Of the software.
        routes: One for each project.
    """
    inputs = [model for one in routes for model in one.request_models]
    outputs = [one.project.api.response for one in routes]
    pairs: list[Any] = [(model, "validation") for model in inputs] + [(model, "serialization") for model in outputs]
    names, definitions = models_json_schema(pairs, ref_template=_REFERENCE)
    references: dict[Any, Any] = {model: schema for (model, _), schema in names.items()}
    paths: dict[str, Any] = {}
    for one in routes:
        paths |= _paths(one, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": definitions.get("$defs", {}) | {_ERROR_NAME: _ERROR}},
    }


def _paths(one: "ProjectRoutes", references: dict[Any, Any]) -> dict[str, Any]:
    name, api = one.project.name, one.project.api
    response = references[api.response]
    many = _object(predictions={"type": "array", "items": response})
    request = references[api.request]
    example = api.example.model_dump(mode="json", exclude_none=True)
    several = {"type": "array", "minItems": 1, "maxItems": one.service.max_rows}
    rows = several | {"items": request}
    paths = {
        f"/v1/{name}/predict": _post(
            one,
            "Predict one row, or several in one call.",
            {"anyOf": [request, rows, references[one.reader.batch_model]]},
            {"anyOf": [response, many]},
            example,
        ),
        f"/v1/{name}/invocations": _post(
            one,
            "The same for clients of MLflow's scoring server.",
            {
                "oneOf": [
                    _object(dataframe_records=rows),
                    _object(
                        dataframe_split=_object(
                            columns={"type": "array", "items": {"type": "string"}},
                            data=several | {"items": {"type": "array"}},
                        )
                    ),
                    _object(instances=rows),
                    _object(inputs={"anyOf": [{"type": "object"}, rows]}),
                ]
            },
            many,
            {"dataframe_records": [example]},
        ),
    }
    if api.stream is not None:
        path = _post(one, "Answer one row piece by piece, as server-sent events.", request, None, example)
        event = _object(data={"type": "string", "contentMediaType": "application/json"})
        events = {"schema": event, "example": 'data: {"piece": 1}\n\nevent: end\ndata: {}\n\n'}
        path["post"]["responses"]["200"] |= {
            "description": "An event for each piece (JSON); `event: end` is the last, or `event: error` with `detail`.",
            "content": {"text/event-stream": events},
        }
        paths[f"/v1/{name}/stream"] = path
    if one.key_reader is not None:
        keyed = references[one.key_reader.model]
        as_of = {"type": "object", "additionalProperties": {"type": ["string", "null"], "format": "date-time"}}
        wanted = one.key_reader.model.model_fields
        paths[f"/v1/{name}/predict_by_key"] = _post(
            one,
            "Predict by keys; features come from the online store, and the answer says of when they are.",
            {"anyOf": [keyed, several | {"items": keyed}, references[one.key_reader.batch_model]]},
            {
                "anyOf": [
                    _object(prediction=response, features_as_of=as_of),
                    _object(
                        predictions={"type": "array", "items": response},
                        features_as_of={"type": "array", "items": as_of},
                    ),
                ]
            },
            {field: value for field, value in example.items() if field in wanted},
        )
    return paths


def _object(**properties: Any) -> dict[str, Any]:
    """Schema of an object with these properties, all of which it has."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _post(one: "ProjectRoutes", summary: str, request: Any, response: Any, example: Any) -> dict[str, Any]:
    header = {"description": "Version that answered.", "schema": {"type": "string"}}
    errors = {
        status: {
            "description": text,
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model=_ERROR_NAME)}}},
        }
        for status, text in _ERRORS.items()
    }
    return {
        "post": {
            "tags": [one.project.title],
            "summary": summary,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": request, "example": example}},
            },
            "responses": {
                "200": {
                    "description": "The answer.",
                    "headers": {"X-Model-Version": header},
                    "content": {"application/json": {"schema": response}},
                }
            }
            | errors,
        }
    }
