"""A project whose model is three numbers, and an app around it that is asked without a network."""

import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modelyard.errors import DataContractError
from modelyard.play.built_page import STATIC
from modelyard.project import Api, Metrics, ModelFormat, Project
from modelyard.records import Column, Contract
from modelyard.serving.app import build_app
from modelyard.serving.loaded_version import LoadedVersion
from modelyard.serving.metrics import Metrics as ServerMetrics
from modelyard.serving.server_settings import ServingSettings


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customer_id: int = Field(ge=0)
    amount_eur: float = Field(ge=0)
    note: str = ""


class Price(BaseModel):
    price_eur: float
    is_high: bool


@dataclass
class Factor:
    """The model: multiplies; may be slow, broken, or wait for a signal."""

    factor: float
    seconds: float = 0.0
    breaks: bool = False
    gate: threading.Event | None = None
    batches: list[int] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)


def decode(requests):
    return pl.DataFrame([request.model_dump() for request in requests])


def predict(model, rows):
    model.batches.append(rows.height)
    if model.gate is not None:
        model.gate.wait(10)
    time.sleep(model.seconds)
    if model.breaks:
        raise RuntimeError("the model is broken")
    if "nonsense" in rows["note"].to_list():
        raise DataContractError("The note makes no sense.", where="note")
    if "crash" in rows["note"].to_list():
        raise ZeroDivisionError("a bug of the model")
    return rows.select(price=pl.col("amount_eur") * model.factor).with_columns(is_high=pl.col("price") > 100)


def encode(predictions):
    return [Price(price_eur=price, is_high=high) for price, high in predictions.iter_rows()]


def _unused(*_arguments):
    raise AssertionError("not part of serving")


TOY = Project(
    name="toy",
    title="Toy prices",
    contract=Contract(
        key="order_id",
        event_time="event_time",
        target="price_eur",
        group="customer_id",
        columns=(
            Column(name="customer_id", dtype="int64", description="Who orders."),
            Column(name="note", dtype="string", description="What the customer wrote.", sensitive=True),
        ),
    ),
    ingest=_unused,
    expectations=_unused,
    feature_views=(),
    derive_features=_unused,
    fit=_unused,
    search_space=_unused,
    model_format=ModelFormat(save=_unused, load=_unused),
    predict=predict,
    metrics=Metrics(score=_unused, primary="error", greater_is_better=False, floor=_unused),
    figures=_unused,
    api=Api(
        request=Order,
        response=Price,
        decode=decode,
        encode=encode,
        example=Order(customer_id=1, amount_eur=20.0),
    ),
    schedule="0 0 * * *",
)


def counted(model, rows):
    """A stream: the price, cent by cent as it were."""
    predict(model, rows)
    for number in range(int(rows["amount_eur"][0])):
        model.pieces.append(number)
        time.sleep(model.seconds)
        yield {"piece": number}


SLOW = replace(TOY, name="slow", api=replace(TOY.api, timeout_s=30.0, max_rows=2, stream=counted))
"""A generator among the projects: takes its time, streams, and takes two rows at most."""


def version(number, factor=2.0, project=TOY, **behaviour):
    return LoadedVersion(
        project=project, version=str(number), identity=(str(number), "toy"), model=Factor(factor, **behaviour)
    )


@asynccontextmanager
async def toy_app(projects=(TOY,), metrics=None, registry=None, page=STATIC, **settings):
    """The app of some projects while it runs; versions are put into ``app.state.services`` by the caller."""
    app = build_app(
        ServingSettings(**settings),
        {one.name: one for one in projects},
        registry,
        metrics=metrics or ServerMetrics(),
        page=page,
    )
    async with app.router.lifespan_context(app):
        yield app


@asynccontextmanager
async def client_of(app):
    """An HTTP client on the app."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
        yield client


@asynccontextmanager
async def toy_server(champion=None, challenger=None, **settings):
    """An HTTP client on the app, and the toy's service."""
    async with toy_app(**settings) as app:
        service = app.state.services["toy"]
        service.champion, service.challenger = champion, challenger
        async with client_of(app) as client:
            yield client, service


def order(**changes):
    return {"customer_id": 7, "amount_eur": 30.0} | changes
