"""The routes of one project: predict, predict_by_key, invocations, stream, and its state."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from modelyard.errors import DataContractError, ModelyardError, StorageError
from modelyard.serving.batching import QueueFullError
from modelyard.serving.bodies import (
    Body,
    InvalidRequestError,
    Reader,
    TooMuchError,
    by_key_model,
    joined,
)
from modelyard.serving.logs import place_of
from modelyard.serving.online_features import OnlineFeatures
from modelyard.serving.service import Answer, NotServingError, ProjectService
from modelyard.serving.streams import EventStream, while_connected
from modelyard.serving.uploads import BodyTooLargeError, NotTakenError, check_head, received, unpacked
from modelyard.serving.worker_thread import WorkerThread

if TYPE_CHECKING:
    from modelyard.serving.follower import Follower

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]

_STATUS: dict[type[Exception], int] = {
    QueueFullError: 503,
    NotServingError: 503,
    StorageError: 503,
    TooMuchError: 413,
    BodyTooLargeError: 413,
    NotTakenError: 415,
    DataContractError: 422,
    TimeoutError: 504,
}

_SMALL_BYTES = 16_384
"""A body up to this size is read at once: that takes less than handing it to a thread and back."""


class ProjectRoutes:
    """Reads requests of one project and writes its answers.

    Args:
        service: Answers.
        follower: Knows which versions were refused.
    """

    def __init__(self, service: ProjectService, follower: "Follower | None" = None) -> None:
        self.service, self.project, self._follower = service, service.project, follower
        settings = service.settings
        self._max_bytes, self._timeout_s = int(settings.max_body_mb * 1_000_000), settings.timeout_s
        limits = (service.max_rows, settings.max_values, self.project.api.budget)
        self.reader = Reader(self.project.api.request, *limits)
        keyed = by_key_model(self.project)
        self.key_reader = Reader(keyed, *limits) if keyed is not None else None
        self._reading = WorkerThread(f"read-{self.project.name}")
        self._online = OnlineFeatures(self.project)
        self._look_up = WorkerThread(f"features-{self.project.name}")
        self._look_up_seconds = service.metrics.lookup_seconds.labels(self.project.name)

    @property
    def request_models(self) -> list[type[BaseModel]]:
        """All models that a body of this project may be."""
        readers = [reader for reader in (self.reader, self.key_reader) if reader is not None]
        return [model for reader in readers for model in (reader.model, reader.batch_model)]

    def routes(self) -> list[Route]:
        """The project's routes."""
        handlers: dict[str, Handler] = {"predict": self.predict, "invocations": self._invocations}
        if self.key_reader is not None:
            handlers["predict_by_key"] = self._predict_by_key
        if self.project.api.stream is not None:
            handlers["stream"] = self.stream
        root = f"/v1/{self.project.name}"
        posts = [
            Route(f"{root}/{name}", self.guarded(name, handler), methods=["POST"]) for name, handler in handlers.items()
        ]
        return [*posts, Route(root, self.guarded("state", self._state), methods=["GET"])]

    def guarded(self, name: str, handler: Handler) -> Handler:
        """Turns everything that may go wrong into an answer that says what and why."""

        async def guarded(request: Request) -> Response:
            request.scope["project"], request.scope["route_name"] = self.project.name, name
            try:
                return await handler(request)
            except ClientDisconnect:
                return Response(status_code=499)  # nobody reads it; the log shows it
            except Exception as error:  # whatever a project's code meets becomes an answer
                body, status = _said(request, error)
                return JSONResponse(body, status, {"retry-after": "1"} if status == 503 else {})

        return guarded

    async def predict(self, request: Request, **how: Any) -> Response:
        """Answers one request, or several; ``how``: see :meth:`.service.ProjectService.answer`."""
        body = await self._read(request, self.reader.read)
        return self._answered(request, body, await self._answer(request, body.requests, **how))

    async def _invocations(self, request: Request) -> Response:
        body = await self._read(request, self.reader.read_invocation)
        return self._answered(request, body, await self._answer(request, body.requests))

    async def _predict_by_key(self, request: Request) -> Response:
        reader = self.key_reader
        if reader is None:  # the route exists only where there is one
            raise NotServingError("This project has no online features.")
        body = await self._read(request, reader.read)
        started = time.perf_counter()
        async with asyncio.timeout(self._timeout_s):
            requests, as_of = await self._look_up.run(self._with_features, body.requests)
        self._look_up_seconds.observe(time.perf_counter() - started)
        return self._answered(request, body, await self._answer(request, requests, as_of), as_of)

    def _with_features(self, keyed: list[Any]) -> tuple[list[Any], list[Any]]:
        """Full requests, and when the features of each were written; runs in the look-up's thread."""
        known = self._online.known(keyed)
        return joined(self.project, keyed, [one.features for one in known]), [one.as_of for one in known]

    async def stream(self, request: Request, **how: Any) -> Response:
        """Answers one request piece by piece; ``how``: see :meth:`.service.ProjectService.stream`."""
        body = await self._read(request, self.reader.read)
        if body.is_batch:
            return JSONResponse({"detail": "A stream answers one request; send one object, not a list."}, 422)
        version, stream = self.service.stream(body.requests[0], request.scope["request_id"], **how)
        request.scope["version"] = version
        try:
            first = await while_connected(stream.next(), request.receive)
        except BaseException:
            stream.close()
            raise
        return EventStream(stream, first, {"x-model-version": version}, lambda error: _said(request, error)[0])

    async def _answer(self, request: Request, requests: list[Any], as_of: Any = None, **how: Any) -> Answer:
        """The service's answer; one that may take long is given up when the client leaves."""
        answer = self.service.answer(requests, request.scope["request_id"], as_of, **how)
        return await (while_connected(answer, request.receive) if self.project.api.timeout_s else answer)

    async def _read(self, request: Request, read: Callable[[bytes], Body]) -> Body:
        """The validated body; a large one is read in a thread."""
        async with asyncio.timeout(self._timeout_s):
            packing = check_head(request.headers)
            data = await received(request, self._max_bytes)
            # A budget says that few bytes may be much work.
            if packing or len(data) > _SMALL_BYTES or self.project.api.budget is not None:
                return await self._reading.run(lambda: read(unpacked(data, packing, self._max_bytes)))
            return read(data)

    async def _state(self, request: Request) -> Response:
        refused = self._follower.refusals(self.project.name) if self._follower else {}
        return JSONResponse(self.service.state() | {"refused": refused})

    def _answered(self, request: Request, body: Body, answer: Answer, as_of: Any = None) -> Response:
        request.scope["version"] = answer.version
        if body.is_batch:
            data = b'{"predictions":[' + b",".join(answer.payloads) + b"]"
            data += (b',"features_as_of":' + json.dumps(as_of).encode() if as_of is not None else b"") + b"}"
        elif as_of is None:
            data = answer.payloads[0]
        else:
            data = b'{"prediction":%s,"features_as_of":%s}' % (answer.payloads[0], json.dumps(as_of[0]).encode())
        return Response(data, media_type="application/json", headers={"x-model-version": answer.version})

    def close(self) -> None:
        """Lets go of the threads."""
        self._look_up.close()
        self._reading.close()


def _said(request: Request, error: Exception) -> tuple[dict[str, Any], int]:
    """What the client is told of an error, and the status: no values, no internals, only where to find them."""
    if isinstance(error, InvalidRequestError):
        return {"detail": error.detail()}, 422
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    if isinstance(error, TimeoutError):
        return {"detail": "It took too long; nothing was answered."}, status
    if isinstance(error, ModelyardError) and status != 500:
        body = {"detail": error.found, "where": error.where, "way_out": error.way_out}
        return {name: text for name, text in body.items() if text}, status
    request_id = request.scope["request_id"]
    about = {"project": request.scope["project"], "request_id": request_id}
    logger.error("a request failed", extra=about | place_of(error))
    return {"detail": "The prediction failed.", "request_id": request_id}, 500
