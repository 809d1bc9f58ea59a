"""Projects that take their time: limits of their own, answers piece by piece, and nobody else who waits for them."""

import asyncio
import contextlib
import json
import threading
import time

import pytest

from modelyard.project import Project
from modelyard.serving.worker_thread import GivenUp, WorkerThread
from tests.modelyard.serving.toy import SLOW, TOY, client_of, order, toy_app, version

pytestmark = pytest.mark.anyio

STREAM = "/v1/slow/stream"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def _folder(data_directory, monkeypatch):
    monkeypatch.delenv("MODELYARD_API_KEYS", raising=False)


class Both:
    """The toy and the slow project behind one app."""

    def __init__(self, slow: Project = SLOW, **settings):
        self._context = toy_app((TOY, slow), **settings)

    async def __aenter__(self):
        self.app = await self._context.__aenter__()
        self.services = self.app.state.services
        self.services["toy"].champion = version(1)
        self._client = client_of(self.app)
        self.client = await self._client.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self._client.__aexit__(*error)
        await self._context.__aexit__(*error)

    def slow_model(self, **behaviour):
        self.services["slow"].champion = version(1, project=SLOW, **behaviour)
        return self.services["slow"].champion.model


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def events(text):
    """(event, data) of each server-sent event."""
    found = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields.get("event", "message"), json.loads(fields["data"])))
    return found


async def test_a_project_has_its_own_time_limit_and_rows():
    async with Both(timeout_s=0.2) as both:
        both.slow_model(seconds=0.5)
        assert (await both.client.post("/v1/slow/predict", json=order())).status_code == 200
        assert (await both.client.post("/v1/slow/predict", json=[order()] * 2)).status_code == 200
        many = await both.client.post("/v1/slow/predict", json=[order()] * 3)
        assert many.status_code == 413
        assert "at most 2" in many.json()["detail"]
        assert (await both.client.post("/v1/toy/predict", json=[order()] * 3)).status_code == 200


async def test_a_slow_project_holds_up_nobody_and_its_batches_are_small():
    gate = threading.Event()
    async with Both() as both:
        model = both.slow_model(gate=gate)
        waiting = [asyncio.create_task(both.client.post("/v1/slow/predict", json=order())) for _ in range(6)]
        await until(lambda: model.batches)
        for _ in range(20):
            started = time.perf_counter()
            assert (await both.client.post("/v1/toy/predict", json=order())).status_code == 200
            assert (await both.client.get("/healthz")).status_code == 200
            assert time.perf_counter() - started < 1
        gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        assert max(model.batches) <= 2


async def test_a_stream_comes_piece_by_piece():
    async with Both() as both:
        both.slow_model()
        answer = await both.client.post(STREAM, json=order(amount_eur=3))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (answer.headers["x-model-version"], answer.headers["x-request-id"] != "") == ("1", True)
        assert "content-length" not in answer.headers
        pieces = [("message", {"piece": number}) for number in range(3)]
        assert events(answer.text) == [*pieces, ("end", {})]
        empty = await both.client.post(STREAM, json=order(amount_eur=0))
        assert events(empty.text) == [("end", {})]


async def test_errors_before_the_first_piece_have_a_status():
    async with Both() as both:
        assert (await both.client.post(STREAM, json=order())).status_code == 503
        both.slow_model()
        assert (await both.client.post(STREAM, json=[order()])).status_code == 422
        assert (await both.client.post(STREAM, json=order(amount_eur=-1))).status_code == 422
        nonsense = await both.client.post(STREAM, json=order(note="nonsense"))
        assert (nonsense.status_code, "no sense" in nonsense.json()["detail"]) == (422, True)
        crash = await both.client.post(STREAM, json=order(note="crash"))
        assert (crash.status_code, "a bug" in crash.text) == (500, False)
        assert (await both.client.post("/v1/toy/stream", json=order())).status_code == 404


async def test_an_error_after_the_first_piece_is_an_event(monkeypatch):
    async with Both() as both:
        both.slow_model().pieces = Breaking()
        answer = await both.client.post(STREAM, json=order(amount_eur=5))
        assert answer.status_code == 200
        *pieces, (kind, said) = events(answer.text)
        assert len(pieces) == 2
        assert (kind, said["detail"]) == ("error", "The prediction failed.")
        assert said["request_id"] == answer.headers["x-request-id"]


class Breaking(list):
    def append(self, number):
        if number == 2:
            raise ZeroDivisionError("a bug of the model")


async def test_keys_are_needed_for_streams_too(monkeypatch):
    monkeypatch.setenv("MODELYARD_API_KEYS", "0" * 64)
    async with Both() as both:
        both.slow_model()
        assert (await both.client.post(STREAM, json=order())).status_code == 401


async def test_a_stream_whose_time_is_over_says_so_and_stops(monkeypatch):
    async with Both() as both:
        model = both.slow_model(seconds=0.05)
        both.services["slow"].timeout_s = 0.4
        answer = await both.client.post(STREAM, json=order(amount_eur=1000))
        assert events(answer.text)[-1] == ("error", {"detail": "It took too long; nothing was answered."})
        assert 1 < len(events(answer.text)) < 20
        made = len(model.pieces)
        await asyncio.sleep(0.2)
        assert len(model.pieces) <= made + 1


async def test_beyond_the_number_of_streams_is_503_and_places_become_free():
    gate = threading.Event()
    async with Both(max_streams=2) as both:
        both.slow_model(gate=gate)
        running = [asyncio.create_task(both.client.post(STREAM, json=order(amount_eur=2))) for _ in range(2)]
        await until(lambda: len(both.services["slow"].champion.model.batches) == 2)
        full = await both.client.post(STREAM, json=order())
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        text = (await both.client.get("/metrics")).text
        assert 'modelyard_streams{project="slow"} 2.0' in text
        gate.set()
        await asyncio.gather(*running)
        assert (await both.client.post(STREAM, json=order(amount_eur=2))).status_code == 200


class Connection:
    """One request as an ASGI server makes it: the client may read slowly, or leave."""

    def __init__(self, app, body):
        self.sent, self.left, self.may_send = [], asyncio.Event(), asyncio.Event()
        self.may_send.set()
        self._parts = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
        scope = {"type": "http", "method": "POST", "path": STREAM, "raw_path": STREAM.encode(), "query_string": b""}
        headers = [(b"content-type", b"application/json")]
        scope |= {"headers": headers, "root_path": "", "scheme": "http", "http_version": "1.1", "asgi": {}}
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self):
        if self._parts:
            return self._parts.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        await self.may_send.wait()
        self.sent.append(message)


async def test_a_slow_reader_slows_its_own_stream():
    async with Both() as both:
        model = both.slow_model()
        connection = Connection(both.app, order(amount_eur=1000))
        await until(lambda: len(connection.sent) >= 3)
        connection.may_send.clear()
        await asyncio.sleep(0.1)
        assert len(model.pieces) <= len(connection.sent) + 2
        connection.may_send.set()
        await asyncio.wait_for(connection.task, 30)
        assert len(model.pieces) == 1000


@pytest.mark.parametrize("behaviour", [{"seconds": 0.001}, {"gate": threading.Event()}])
async def test_a_client_that_leaves_ends_the_work(behaviour):
    async with Both() as both:
        model = both.slow_model(**behaviour)
        connection = Connection(both.app, order(amount_eur=1_000_000))
        await until(lambda: model.pieces or behaviour.get("gate"))
        connection.left.set()
        await asyncio.wait_for(connection.task, 5)
        made = len(model.pieces)
        await asyncio.sleep(0.1)
        assert len(model.pieces) <= made + 1
        assert both.services["slow"].metrics.value("streams", project="slow") == 0


async def test_a_batch_that_nobody_waits_for_is_ended(monkeypatch):
    """A composition of minutes must not run on after its 504."""
    async with Both() as both:
        model = both.slow_model()
        both.services["slow"].timeout_s = 0.2
        model.batches = Endless()
        assert (await both.client.post("/v1/slow/predict", json=order())).status_code == 504
        await until(lambda: model.batches.has_ended)
        model.batches = []
        assert (await both.client.post("/v1/slow/predict", json=order())).status_code == 200


class Endless(list):
    """Work in Python that takes forever."""

    has_ended = False

    def append(self, rows):
        try:
            while True:
                time.sleep(0.001)
        finally:
            self.has_ended = True


async def test_the_end_of_the_process_does_not_wait_for_a_library_that_hangs():
    gate = threading.Event()
    async with Both() as both:
        model = both.slow_model(gate=gate)
        asking = asyncio.create_task(both.client.post("/v1/slow/predict", json=order()))
        await until(lambda: model.batches)
        asking.cancel()
        started = time.monotonic()
    assert time.monotonic() - started < 8
    gate.set()


async def test_an_interruption_ends_the_work_that_runs_and_nothing_else():
    worker = WorkerThread("test")
    for number in range(200):
        begun = threading.Event()
        running = asyncio.ensure_future(worker.run(_spin, begun, number % 7 / 10_000))
        await asyncio.to_thread(begun.wait)
        await asyncio.sleep(number % 5 / 10_000)
        worker.interrupt()
        worker.interrupt()
        with contextlib.suppress(GivenUp):
            assert await running == "whole"
        assert await worker.run(lambda: "next") == "next"
    worker.close(1)


def _spin(begun, seconds):
    begun.set()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return "whole"
