"""The application: one FastAPI app over the services of all projects."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from modelyard.model_registry.aliases import RegistryView
from modelyard.play.built_page import STATIC, page_routes
from modelyard.play.gallery import GalleryView
from modelyard.projects import check_project_name, project_names
from modelyard.serving.api_keys import ApiKeys
from modelyard.serving.follower import Follower, followed_projects
from modelyard.serving.gatekeeper import Gatekeeper
from modelyard.serving.metrics import Metrics
from modelyard.serving.openapi import openapi_document
from modelyard.serving.play_routes import PlayRoutes, gallery_route
from modelyard.serving.request_log import LogLimits, RequestLog
from modelyard.serving.routes import ProjectRoutes
from modelyard.serving.server_settings import ServingSettings
from modelyard.serving.service import ProjectService
from modelyard.serving.stand_in import StandIn
from modelyard.startup.xgboost import leave_out_scikit_learn

if TYPE_CHECKING:
    from modelyard.project import Project

logger = logging.getLogger(__name__)


def create_app() -> FastAPI:
    """The app of a server process, as :data:`modelyard.serving.server_settings.SETTINGS_VARIABLE` says."""
    from modelyard.serving.logs import log_to_stderr
    from modelyard.startup import telemetry

    telemetry.switch_off()
    leave_out_scikit_learn()
    listener = log_to_stderr()
    settings = ServingSettings.from_environment()
    for name in settings.project:
        check_project_name(name)
    projects = followed_projects(settings.project or project_names())
    return build_app(settings, projects, RegistryView(), at_exit=listener.stop)


def build_app(
    settings: ServingSettings,
    projects: "Mapping[str, Project]",
    registry: RegistryView | None,
    *,
    metrics: Metrics | None = None,
    at_exit: Any = None,
    page: Path = STATIC,
) -> FastAPI:
    """The app over given projects.

    Args:
        settings: How it behaves.
        projects: Name to record.
        registry: What it follows; None: nothing, the caller sets ``app.state.services[name].champion``.
        metrics: Of the process; None: new ones.
        at_exit: Called last.
        page: Folder of the page's built files.
    """
    metrics = metrics or Metrics()
    services = {name: _service(project, settings, metrics) for name, project in projects.items()}
    follower = Follower(services, registry, metrics, settings.poll_s) if registry else None
    routes = [ProjectRoutes(service, follower) for service in services.values()]
    view = GalleryView(projects, registry)
    played = [PlayRoutes(one, StandIn(one.service, registry), view) for one in routes]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for service in services.values():
            service.start()
        if follower is not None:
            follower.start()
        yield
        app.state.is_closing = True
        if follower is not None:
            await follower.close()
        await asyncio.gather(*(service.close() for service in services.values()))
        for one in routes:
            one.close()
        if at_exit is not None:
            at_exit()

    app = FastAPIOffline(title="Modelyard", lifespan=lifespan)  # /docs without a network
    document = openapi_document("Modelyard", metadata.version("modelyard"), routes)
    app.openapi = lambda: document  # type: ignore[method-assign]  # FastAPI's documented way to bring one's own
    app.state.services, app.state.metrics, app.state.is_closing = services, metrics, False
    app.router.routes.extend([*page_routes(page), gallery_route(services, view)])
    app.router.routes.extend(route for one in routes for route in one.routes())
    app.router.routes.extend(route for one in played for route in one.routes())
    app.router.routes.extend(_common(app, settings, follower))
    app.add_middleware(Gatekeeper, metrics=metrics, keys=ApiKeys.from_environment(), access_log=settings.access_log)
    return app


def _service(project: "Project", settings: ServingSettings, metrics: Metrics) -> ProjectService:
    limits = LogLimits(
        rotate_bytes=settings.log_rotate_mb * 1e6,
        rotate_s=settings.log_rotate_s,
        keep_days=settings.log_keep_days,
        keep_bytes=settings.log_keep_mb * 1e6,
    )
    return ProjectService(project, settings, metrics, RequestLog(project, limits, metrics))


def _common(app: FastAPI, settings: ServingSettings, follower: Follower | None) -> Sequence[Route]:
    """Health, metrics, and what is said of a project that is not here."""
    services: Mapping[str, ProjectService] = app.state.services

    async def healthz(request: Request) -> Response:
        request.scope["route_name"] = "probe"
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        request.scope["route_name"] = "probe"
        report = readiness(services, settings, follower)
        is_ready = report["ready"] and not app.state.is_closing
        return JSONResponse(report | {"ready": is_ready}, 200 if is_ready else 503)

    async def metrics(request: Request) -> Response:
        request.scope["route_name"] = "probe"
        text = await asyncio.to_thread(app.state.metrics.render)
        return Response(text, media_type=Metrics.content_type)

    async def projects(request: Request) -> Response:
        return JSONResponse({"projects": [service.state() for service in services.values()]})

    async def unknown(request: Request) -> Response:
        return JSONResponse(
            {"detail": f"There is no project '{request.path_params['project']}' here.", "projects": sorted(services)},
            404,
        )

    async def unknown_route(request: Request) -> Response:
        if request.path_params["project"] not in services:
            return await unknown(request)
        paths = [path for path in app.openapi()["paths"] if f"/{request.path_params['project']}/" in path]
        return JSONResponse({"detail": f"There is no {request.url.path} here.", "routes": paths}, 404)

    anything = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/v1", projects),
        Route("/v1/{project}", unknown, methods=anything),
        Route("/v1/{project}/{rest:path}", unknown_route, methods=anything),
    ]


def readiness(
    services: Mapping[str, ProjectService], settings: ServingSettings, follower: Follower | None
) -> dict[str, Any]:
    """Ready means: every project asked for by name has a version; without names, every one that has a champion.

    Returns:
        ``ready``, and ``projects``: what each serves, or why it does not.
    """
    projects: dict[str, Any] = {}
    for name, service in services.items():
        champion = service.champion
        projects[name] = {"version": champion.version} if champion else {"waiting": service.why_not}
        projects[name] |= {"degraded": service.degraded} if service.degraded else {}
    waiting = {name for name, service in services.items() if service.champion is None}
    wished = set(settings.project) or (set(services) if follower is None else follower.with_champion())
    serving = set(services) - waiting
    return {"ready": bool(serving) and not waiting & wished, "projects": projects}
