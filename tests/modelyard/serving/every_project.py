"""All projects behind one app, without models: requests are read, decoded and logged as in service."""

import asyncio
import contextlib
import copy
import gzip
import json
import socket
import threading
import time
from contextlib import asynccontextmanager

import polars as pl
import uvicorn
from pydantic import BaseModel

from modelyard.feature_store.store import FeatureStore
from modelyard.parameters import parameters_of
from modelyard.paths import data_directory
from modelyard.projects import load_project, project_names
from modelyard.serving.app import build_app
from modelyard.serving.loaded_version import Answered, LoadedVersion
from modelyard.serving.metrics import Metrics
from modelyard.serving.server_settings import ServingSettings
from tests.modelyard.serving.toy import client_of, toy_app

PROJECTS = project_names()


class Read(BaseModel):
    """The answer to everything."""

    is_read: bool = True


class DecodesOnly(LoadedVersion):
    """Answers everything that can be decoded."""

    def answer(self, inputs):
        return Answered(pl.DataFrame({"score": [0.5] * inputs.height}), [Read()] * inputs.height)


@asynccontextmanager
async def served(*names, **settings):
    """A client on the app of the projects with these names."""
    async with serving([load_project(name) for name in names], **settings) as client:
        yield client


@asynccontextmanager
async def serving(projects, champion=None, **settings):
    """A client on the app of these projects; what answers has no model where no champion is given."""
    async with toy_app(projects, **settings) as app:
        for project in projects:
            app.state.services[project.name].champion = champion or decodes_only(project)
        async with client_of(app) as client:
            yield client


def decodes_only(project):
    """A champion that answers whatever can be decoded."""
    return DecodesOnly(project=project, version="1", identity=("1", "x"), model=None)


def example(name):
    """The project's example as a client sends it."""
    return load_project(name).api.example.model_dump(mode="json")


def changed(request, **fields):
    return copy.deepcopy(request) | fields


def fields_of(name, *kinds):
    """Fields of the request that hold one of these JSON types, or lists of them: name, and whether it is a list."""
    found = []
    properties = load_project(name).api.request.model_json_schema()["properties"]
    for field, schema in properties.items():
        for option in [schema, *schema.get("anyOf", ())]:
            if option.get("type") in kinds and "format" not in option:
                found.append((field, False))
            elif option.get("type") == "array" and option["items"].get("type") in kinds:
                found.append((field, True))
    return found


def times_of(name):
    """Fields of the request that are times."""
    properties = load_project(name).api.request.model_json_schema()["properties"]
    options = {field: [schema, *schema.get("anyOf", ())] for field, schema in properties.items()}
    return [field for field, found in options.items() if any(one.get("format") == "date-time" for one in found)]


def as_json(request, **texts):
    """The request as JSON, with some fields replaced by a text that may be no JSON at all."""
    body = json.dumps(request | dict.fromkeys(texts, "%%"))
    for name, text in texts.items():
        body = body.replace(f'"{name}": "%%"', f'"{name}": {text}')
    return body.encode()


def packed(data):
    return gzip.compress(data)


def write_features(small):
    """What the route by key looks up."""
    project = small.project
    if project.derive_features is not None:
        derived = project.derive_features(
            project.ingest(small.ingest), small.features or parameters_of(project.derive_features)()
        )
        folder = data_directory() / "04_feature"
        store = FeatureStore(
            project.name, project.feature_views, folder=folder / project.name, registry=str(folder / "registry.db")
        )
        store.write(derived)


async def beside(client, work):
    """Seconds that /healthz took while ``work`` ran, in order, and the answer."""
    waits, working = [], asyncio.ensure_future(work)
    while not working.done():
        started = time.perf_counter()
        assert (await client.get("/healthz")).status_code == 200
        waits.append(time.perf_counter() - started)
        await asyncio.sleep(0.001)
    return sorted(waits), await working


@contextlib.contextmanager
def listening(project, champion, **settings):
    """The address of a server of this process on the loopback address, with the server's own connections."""
    app = build_app(ServingSettings(**settings), {project.name: project}, None, metrics=Metrics())
    app.state.services[project.name].champion = champion
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = uvicorn.Config(
            app, http="modelyard.serving.connections:BoundedConnection", log_config=None, access_log=False, ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
