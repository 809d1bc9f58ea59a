"""The routes of one project: predict, predict_by_key, invocations, and its state."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from modelyard.errors import DataContractError, ModelyardError, StorageError
from modelyard.serving.batching import QueueFullError
from modelyard.serving.bodies import Body, Reader, TooManyRowsError, by_key_model, joined, problems
from modelyard.serving.online_features import OnlineFeatures
from modelyard.serving.service import Answer, NotServingError, ProjectService

if TYPE_CHECKING:
    from modelyard.serving.follower import Follower

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]

_STATUS: dict[type[Exception], int] = {
    QueueFullError: 503,
    NotServingError: 503,
    StorageError: 503,
    TooManyRowsError: 413,
    DataContractError: 422,
    TimeoutError: 504,
}


class BodyTooLargeError(ModelyardError):
    """A body has more bytes than one may have."""


_STATUS[BodyTooLargeError] = 413


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
        self.reader = Reader(self.project.api.request, settings.max_rows)
        keyed = by_key_model(self.project)
        self.key_reader = Reader(keyed, settings.max_rows) if keyed is not None else None
        self._online = OnlineFeatures(self.project)
        self._look_up = ThreadPoolExecutor(1, thread_name_prefix=f"features-{self.project.name}")
        self._look_up_seconds = service.metrics.lookup_seconds.labels(self.project.name)

    @property
    def request_models(self) -> list[type[BaseModel]]:
        """All models that a body of this project may be."""
        readers = [reader for reader in (self.reader, self.key_reader) if reader is not None]
        return [model for reader in readers for model in (reader.model, reader.batch_model)]

    def routes(self) -> list[Route]:
        """The project's routes."""
        handlers: dict[str, Handler] = {"predict": self._predict, "invocations": self._invocations}
        if self.key_reader is not None:
            handlers["predict_by_key"] = self._predict_by_key
        root = f"/v1/{self.project.name}"
        posts = [
            Route(f"{root}/{name}", self._guarded(name, handler), methods=["POST"])
            for name, handler in handlers.items()
        ]
        return [*posts, Route(root, self._guarded("state", self._state), methods=["GET"])]

    def _guarded(self, name: str, handler: Handler) -> Handler:
        """Turns everything that may go wrong into an answer that says what and why."""

        async def guarded(request: Request) -> Response:
            request.scope["project"], request.scope["route_name"] = self.project.name, name
            try:
                return await handler(request)
            except ValidationError as error:
                return JSONResponse({"detail": problems(error)}, 422)
            except (ModelyardError, TimeoutError) as error:
                return _refusal(error)
            except ClientDisconnect:
                return Response(status_code=499)  # nobody reads it; the log shows it
            except Exception:  # the client is told no internals, only where to find them
                logger.exception(
                    "a request failed", extra={"project": self.project.name, "request_id": request.scope["request_id"]}
                )
                return JSONResponse(
                    {"detail": "The prediction failed.", "request_id": request.scope["request_id"]}, 500
                )

        return guarded

    async def _predict(self, request: Request) -> Response:
        body = self.reader.read(await self._body(request))
        return self._answered(request, body, await self.service.answer(body.requests, request.scope["request_id"]))

    async def _invocations(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            return JSONResponse({"detail": f"'{kind}' is not taken; send application/json."}, 415)
        body = self.reader.read_invocation(await self._body(request))
        return self._answered(request, body, await self.service.answer(body.requests, request.scope["request_id"]))

    async def _predict_by_key(self, request: Request) -> Response:
        reader = self.key_reader
        if reader is None:  # the route exists only where there is one
            raise NotServingError("This project has no online features.")
        body = reader.read(await self._body(request))
        started = time.perf_counter()
        async with asyncio.timeout(self._timeout_s):
            known = await asyncio.get_running_loop().run_in_executor(self._look_up, self._online.known, body.requests)
        self._look_up_seconds.observe(time.perf_counter() - started)
        requests = joined(self.project, body.requests, [one.features for one in known])
        as_of = [one.as_of for one in known]
        answer = await self.service.answer(requests, request.scope["request_id"], as_of)
        return self._answered(request, body, answer, as_of)

    async def _state(self, request: Request) -> Response:
        refused = self._follower.refusals(self.project.name) if self._follower else {}
        return JSONResponse(self.service.state() | {"refused": refused})

    async def _body(self, request: Request) -> bytes:
        """The body, which must come in time and not be too large.

        Raises:
            BodyTooLargeError: It is.
            TimeoutError: It did not.
        """
        if int(request.headers.get("content-length") or 0) > self._max_bytes:
            raise self._too_large()
        parts, size = [], 0
        async with asyncio.timeout(self._timeout_s):
            async for part in request.stream():
                size += len(part)
                if size > self._max_bytes:
                    raise self._too_large()
                parts.append(part)
        return b"".join(parts)

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(
            f"The body is larger than {self._max_bytes / 1e6:g} MB.", way_out="send fewer rows in a request"
        )

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
        """Lets go of the look-up's thread."""
        self._look_up.shutdown()


def _refusal(error: Exception) -> Response:
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind)) if _is_known(error) else 500
    headers = {"retry-after": "1"} if status == 503 else {}
    if not isinstance(error, ModelyardError):
        return JSONResponse({"detail": "It took too long; nothing was answered."}, status)
    body = {"detail": error.found, "where": error.where, "way_out": error.way_out}
    return JSONResponse({name: text for name, text in body.items() if text}, status, headers)


def _is_known(error: Exception) -> bool:
    return isinstance(error, tuple(_STATUS))
