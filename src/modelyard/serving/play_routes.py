"""The routes of the page: the gallery, and for each project its description, its picture, and answers to play with."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from modelyard.play.gallery import GalleryView
from modelyard.play.responses import PlayPage
from modelyard.serving.routes import ProjectRoutes
from modelyard.serving.stand_in import StandIn

if TYPE_CHECKING:
    from modelyard.project import Project
    from modelyard.serving.service import ProjectService

_ALIAS_HEADER = "x-model-alias"


class PlayRoutes:
    """The page of one project.

    Args:
        routes: Read its requests and write its answers; a request from the page is one like any other.
        stand_in: Answers where there is no champion.
        view: Has its picture.
    """

    def __init__(self, routes: ProjectRoutes, stand_in: StandIn, view: GalleryView) -> None:
        self._routes, self._stand_in, self._view = routes, stand_in, view
        self._service, self._project = routes.service, routes.project
        self._page: bytes | None = None

    def routes(self) -> list[Route]:
        """``/v1/<project>/play`` and what is below it; none where the project has no page."""
        if self._project.play is None:
            return []
        root, guarded = f"/v1/{self._project.name}/play", self._routes.guarded
        made = [
            Route(root, guarded("page", self._describe), methods=["GET"]),
            Route(root, guarded("play", self._play), methods=["POST"]),
            Route(f"{root}/picture", guarded("picture", self._picture), methods=["GET"]),
        ]
        if self._project.api.stream is not None:
            made.append(Route(f"{root}/stream", guarded("play_stream", self._stream), methods=["POST"]))
        return made

    async def _describe(self, request: Request) -> Response:
        if self._page is None:
            self._page = await asyncio.to_thread(page_json, self._project, self._service.max_rows)
        return Response(self._page, media_type="application/json", headers={"cache-control": "no-cache"})

    async def _play(self, request: Request) -> Response:
        version, alias = await self._stand_in.answering()
        response = await self._routes.predict(request, on_page=True, version=version)
        response.headers[_ALIAS_HEADER] = alias
        return response

    async def _stream(self, request: Request) -> Response:
        version, alias = await self._stand_in.answering()
        response = await self._routes.stream(request, on_page=True, version=version)
        response.headers[_ALIAS_HEADER] = alias
        return response

    async def _picture(self, request: Request) -> Response:
        serving = self._service.champion.version if self._service.champion else None
        found = await asyncio.to_thread(self._view.picture, self._project.name, serving)
        if found is None:
            detail = "There is no picture of the version that answers."
            return JSONResponse({"detail": detail, "way_out": f"kedro run --pipeline={self._project.name}"}, 404)
        version, png = found
        headers = {"x-model-version": version, "cache-control": "no-cache", "x-content-type-options": "nosniff"}
        return Response(png, media_type="image/png", headers=headers)


def page_json(project: "Project", max_rows: int) -> bytes:
    """Returns the JSON of a project's page; its examples are made here, which may take a second.

    Args:
        project: Has a page.
        max_rows: Of one request.

    Raises:
        ValueError: The project has no page.
    """
    play = project.play
    if play is None:
        raise ValueError(f"{project.name} has no page")
    route = f"/v1/{project.name}/play"
    page = PlayPage(
        project=project.name,
        title=project.title,
        question=play.question,
        inputs=play.inputs,
        outputs=play.outputs,
        examples=play.examples(),
        meaning=play.meaning,
        without_answer=play.without_answer,
        caution=play.caution,
        picture=play.picture,
        route=route,
        stream_route=f"{route}/stream" if project.api.stream is not None else None,
        max_rows=max_rows,
        request_schema=project.api.request.model_json_schema(),
    )
    return page.model_dump_json().encode()


def gallery_route(services: "Mapping[str, ProjectService]", view: GalleryView) -> Route:
    """Returns ``/v1/play``, the gallery of all projects."""

    async def gallery(request: Request) -> Response:
        request.scope["route_name"] = "gallery"
        serving = {name: one.champion.version for name, one in services.items() if one.champion is not None}
        found = await asyncio.to_thread(lambda: view.gallery(serving).model_dump_json())
        return Response(found, media_type="application/json", headers={"cache-control": "no-cache"})

    return Route("/v1/play", gallery)
