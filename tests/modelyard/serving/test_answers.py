"""What a client sees: shapes, ids, limits, keys, and errors that name what is wrong."""

import asyncio
import threading
import time
from dataclasses import replace
from datetime import date
from hashlib import sha256

import pytest
from pydantic import field_validator

from modelyard.project import Budget
from modelyard.serving.json_slices import first_key
from tests.modelyard.serving.toy import TOY, Order, client_of, order, toy_app, toy_server, version

pytestmark = pytest.mark.anyio

PREDICT = "/v1/toy/predict"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def _folder(data_directory, monkeypatch):
    monkeypatch.delenv("MODELYARD_API_KEYS", raising=False)


async def test_one_a_list_and_instances_get_the_same_answers():
    async with toy_server(version(3)) as (client, _):
        one = await client.post(PREDICT, json=order(amount_eur=60))
        assert one.json() == {"price_eur": 120.0, "is_high": True}
        assert one.headers["x-model-version"] == "3"
        orders = [order(amount_eur=60), order(amount_eur=10)]
        for body in (orders, {"instances": orders}):
            several = await client.post(PREDICT, json=body)
            assert several.json() == {
                "predictions": [{"price_eur": 120.0, "is_high": True}, {"price_eur": 20.0, "is_high": False}]
            }


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [order(), order(amount_eur=1)]},
        {"dataframe_split": {"columns": ["customer_id", "amount_eur"], "data": [[7, 30.0], [7, 1.0]]}},
        {"instances": [order(), order(amount_eur=1)]},
        {"inputs": {"customer_id": [7, 7], "amount_eur": [30.0, 1.0]}},
        {"inputs": [order(), order(amount_eur=1)]},
    ],
)
async def test_mlflow_clients_are_answered(body):
    async with toy_server(version(1)) as (client, _):
        answer = await client.post("/v1/toy/invocations", json=body)
        assert [one["price_eur"] for one in answer.json()["predictions"]] == [60.0, 2.0]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (order(amount_eur=-1), ["body", "amount_eur"]),
        (order(amuont_eur=1), ["body", "amuont_eur"]),
        ({"customer_id": 7}, ["body", "amount_eur"]),
        ([order(), order(customer_id="many")], ["body", 1, "customer_id"]),
        ({"instances": [order(), order(amount_eur=None)]}, ["body", "instances", 1, "amount_eur"]),
        ([], ["body"]),
        ({"instances": []}, ["body", "instances"]),
        (7, ["body"]),
    ],
)
async def test_bad_input_is_422_and_names_the_field(body, place):
    async with toy_server(version(1)) as (client, _):
        answer = await client.post(PREDICT, json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == place


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dataframe_records": [order()], "inputs": [order()]},
        {"dataframe_split": {"columns": ["customer_id"], "data": [[1, 2]]}},
        {"inputs": {"customer_id": [1, 2], "amount_eur": [1.0]}},
        {"dataframe_records": [order(amount_eur="much")]},
    ],
)
async def test_bad_invocations_are_422(body):
    async with toy_server(version(1)) as (client, _):
        answer = await client.post("/v1/toy/invocations", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["msg"]


async def test_neither_broken_json_nor_another_format_is_an_error_of_ours():
    async with toy_server(version(1)) as (client, _):
        assert (await client.post(PREDICT, content=b'{"customer_id": ')).status_code == 422
        assert (await client.post(PREDICT, content=b"")).status_code == 422
        table = await client.post("/v1/toy/invocations", content=b"a,b\n1,2", headers={"content-type": "text/csv"})
        assert table.status_code == 415


def test_the_first_key_is_found_without_a_look_at_its_value():
    assert first_key(b' {"instances" : [') == b'"instances"'
    assert first_key(b'{"a\\"b":') == b'"a\\"b"'
    for none in (b"", b"{}", b'["a":1]', b'"a"', b"{1: 2}", b'{"a" 1}'):
        assert first_key(none) == b""


async def test_a_validators_message_is_cut():
    class Dated(Order):
        @field_validator("note")
        @classmethod
        def _is_a_day(cls, note: str) -> str:
            return str(date.fromisoformat(note))

    project = replace(TOY, api=replace(TOY.api, request=Dated))
    async with toy_app((project,)) as app, client_of(app) as client:
        app.state.services["toy"].champion = version(1, project=project)
        answer = await client.post(PREDICT, json=order(note="2024" + " " * 70_000))
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["msg"].startswith("Value error, Invalid isoformat string: '2024")
        assert len(answer.content) < 500


async def test_values_are_not_echoed_in_errors():
    async with toy_server(version(1)) as (client, _):
        answer = await client.post(PREDICT, json=order(note={"pin": "4711"}))
        assert answer.status_code == 422
        assert "4711" not in answer.text


async def test_an_unknown_project_is_404_with_the_list():
    async with toy_server(version(1)) as (client, _):
        answer = await client.post("/v1/tyo/predict", json=order())
        assert answer.status_code == 404
        assert answer.json()["projects"] == ["toy"]
        nowhere = await client.post("/v1/toy/predcit", json=order())
        assert nowhere.status_code == 404
        assert PREDICT in nowhere.json()["routes"]
        assert (await client.get(PREDICT)).status_code in (404, 405)


async def test_without_a_champion_the_way_out_is_said():
    async with toy_server() as (client, _):
        answer = await client.post(PREDICT, json=order())
        assert answer.status_code == 503
        assert "alias champion" in answer.json()["way_out"]
        assert answer.headers["retry-after"]
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "champion" in ready.json()["projects"]["toy"]["waiting"]
        assert (await client.get("/healthz")).status_code == 200


async def test_ready_and_state_say_what_serves():
    async with toy_server(version(4), version(5)) as (client, _):
        ready = await client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["projects"] == {"toy": {"version": "4"}}
        state = (await client.get("/v1/toy")).json()
        assert (state["champion"], state["challenger"]) == ("4", "5")
        assert (await client.get("/v1")).json()["projects"][0]["project"] == "toy"


async def test_request_ids_come_back_and_bad_ones_are_replaced():
    async with toy_server(version(1)) as (client, _):
        answer = await client.post(PREDICT, json=order(), headers={"X-Request-Id": "order-17"})
        assert answer.headers["x-request-id"] == "order-17"
        invented = [(await client.post(PREDICT, json=order())).headers["x-request-id"] for _ in range(2)]
        assert len(set(invented)) == 2
        bad = await client.post(PREDICT, json=order(), headers={"X-Request-Id": 'a"b'})
        assert bad.headers["x-request-id"] != 'a"b'
        refused = await client.post(PREDICT, json=7, headers={"X-Request-Id": "x1"})
        assert refused.headers["x-request-id"] == "x1"


async def test_limits_of_rows_and_bytes():
    async with toy_server(version(1), max_rows=3, max_body_mb=0.001) as (client, _):
        assert (await client.post(PREDICT, json=[order()] * 3)).status_code == 200
        many = await client.post(PREDICT, json=[order()] * 4)
        assert many.status_code == 413
        assert "at most 3" in many.json()["detail"]
        records = await client.post("/v1/toy/invocations", json={"dataframe_records": [order()] * 4})
        assert records.status_code == 413
        large = await client.post(PREDICT, json=order(note="x" * 2000))
        assert large.status_code == 413

        async def parts():
            for _ in range(20):
                yield b" " * 100

        assert (await client.post(PREDICT, content=parts())).status_code == 413


async def test_a_projects_budget_is_counted_before_anything_is_predicted():
    budget = Budget(of=lambda request: request.amount_eur, most=100, unit="frames")
    project = replace(TOY, api=replace(TOY.api, budget=budget))
    async with toy_app((project,)) as app, client_of(app) as client:
        app.state.services["toy"].champion = version(1, project=project)
        assert (await client.post(PREDICT, json=[order(amount_eur=50)] * 2)).status_code == 200
        beyond = await client.post(PREDICT, json=[order(amount_eur=51)] * 2)
        assert beyond.status_code == 413
        assert beyond.json()["detail"] == "The request asks for more than 100 frames."


async def test_twenty_problems_are_told_and_not_more_and_names_are_cut():
    async with toy_server(version(1)) as (client, _):
        many = await client.post(PREDICT, json=[order(amount_eur=-1)] * 900)
        assert many.status_code == 422
        assert [one["loc"] for one in many.json()["detail"]] == [["body", n, "amount_eur"] for n in range(20)]
        unknown = await client.post(PREDICT, json=order(**{f"k{number}": 0 for number in range(9_000)}))
        assert [one["loc"] for one in unknown.json()["detail"]] == [["body", f"k{number}"] for number in range(20)]
        long = await client.post(PREDICT, json=order(**{"k" * 1_000_000: 0}))
        assert long.status_code == 422
        assert len(long.content) < 1_000
        values = await client.post(PREDICT, json=order(**{f"k{number}": 0 for number in range(30_000)}))
        assert values.status_code == 413


async def test_what_is_at_fault_is_said_without_its_values_in_answer_and_log(caplog):
    def overflowing(requests):
        raise OverflowError(f"{requests[0].customer_id} is too large")

    project = replace(TOY, api=replace(TOY.api, decode=overflowing))
    async with toy_app((project,)) as app, client_of(app) as client:
        app.state.services["toy"].champion = version(1, project=project)
        answer = await client.post(PREDICT, json=order(customer_id=4711))
        assert answer.status_code == 422
        assert "4711" not in answer.text + caplog.text
        record = next(one for one in caplog.records if one.message == "a request cannot be decoded")
        assert (record.error, "overflowing" in record.traceback[-1]) == ("OverflowError", True)
    async with toy_server(version(1)) as (client, _):
        assert (await client.post(PREDICT, json=order(note="crash"))).status_code == 500
        assert "a bug of the model" not in caplog.text


async def test_an_answer_that_is_no_number_is_422_and_ends_a_canary():
    async with toy_server(version(1), version(2, factor=float("nan")), canary_share=1.0) as (client, service):
        for number in range(8):
            answer = await client.post(PREDICT, json=order(customer_id=number))
            assert (answer.status_code, answer.headers["x-model-version"]) == (200, "1")
        assert "of its requests failed" in service.rolled_back[service.challenger.identity]
    async with toy_server(version(2, factor=float("inf"))) as (client, _):
        answer = await client.post(PREDICT, json=order())
        assert (answer.status_code, "price_eur" in answer.json()["detail"]) == (422, True)


async def test_a_body_that_is_given_up_is_read_no_further(monkeypatch):
    async with toy_server(version(1), timeout_s=0.3) as (client, _):
        endless = Endless()
        monkeypatch.setattr("modelyard.serving.bodies.check_density", endless)
        assert (await client.post(PREDICT, json=order(note="x" * 20_000))).status_code == 504
        async with asyncio.timeout(5):
            while not endless.has_ended:
                await asyncio.sleep(0.01)


class Endless:
    has_ended = False

    def __call__(self, data):
        try:
            while True:
                time.sleep(0.001)
        finally:
            self.has_ended = True


async def test_api_keys_are_compared_by_their_hash(monkeypatch):
    keys = ",".join(sha256(key).hexdigest() for key in (b"first", b"second"))
    monkeypatch.setenv("MODELYARD_API_KEYS", keys)
    async with toy_server(version(1)) as (client, _):
        for headers in ({"Authorization": "Bearer second"}, {"X-API-Key": "first"}):
            assert (await client.post(PREDICT, json=order(), headers=headers)).status_code == 200
        for headers in ({}, {"Authorization": "Bearer third"}, {"X-API-Key": keys.split(",")[0]}):
            refused = await client.post(PREDICT, json=order(), headers=headers)
            assert refused.status_code == 401
            assert refused.headers["x-request-id"]
        assert (await client.get("/v1/toy")).status_code == 401
        assert (await client.get("/healthz")).status_code == 200


async def test_beyond_the_queue_is_503_and_the_queued_are_answered():
    gate = threading.Event()
    async with toy_server(version(1, gate=gate), queue_rows=4, max_rows=2, max_wait_ms=0) as (client, service):
        first = asyncio.create_task(client.post(PREDICT, json=order()))
        while not service.champion.model.batches:
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(client.post(PREDICT, json=[order()] * 2)) for _ in range(2)]
        await asyncio.sleep(0.05)
        beyond = await client.post(PREDICT, json=order())
        assert beyond.status_code == 503
        assert int(beyond.headers["retry-after"]) >= 1
        gate.set()
        assert [answer.status_code for answer in await asyncio.gather(first, *waiting)] == [200] * 3


async def test_a_request_that_takes_too_long_is_504_and_not_predicted_later():
    gate = threading.Event()
    async with toy_server(version(1, gate=gate), timeout_s=0.2, max_batch_rows=1) as (client, service):
        slow = await asyncio.gather(*(client.post(PREDICT, json=order()) for _ in range(3)))
        assert [answer.status_code for answer in slow] == [504] * 3
        gate.set()
        assert (await client.post(PREDICT, json=order())).status_code == 200
        assert service.champion.model.batches == [1, 1]


async def test_requests_that_wait_are_predicted_together():
    gate = threading.Event()
    async with toy_server(version(1, gate=gate), max_batch_rows=8) as (client, service):
        first = asyncio.create_task(client.post(PREDICT, json=order()))
        while not service.champion.model.batches:
            await asyncio.sleep(0.01)
        rest = [asyncio.create_task(client.post(PREDICT, json=order(amount_eur=n))) for n in range(12)]
        await asyncio.sleep(0.1)
        gate.set()
        answers = [answer.json()["price_eur"] for answer in await asyncio.gather(first, *rest)]
        assert answers == [60.0, *(2.0 * n for n in range(12))]
        assert service.champion.model.batches == [1, 8, 4]


async def test_a_bad_request_does_not_spoil_its_neighbours():
    gate = threading.Event()
    async with toy_server(version(1, gate=gate)) as (client, service):
        first = asyncio.create_task(client.post(PREDICT, json=order()))
        while not service.champion.model.batches:
            await asyncio.sleep(0.01)
        notes = ("", "crash", "nonsense", "")
        rest = [asyncio.create_task(client.post(PREDICT, json=order(note=note))) for note in notes]
        await asyncio.sleep(0.1)
        gate.set()
        answers = await asyncio.gather(first, *rest)
        assert [answer.status_code for answer in answers] == [200, 200, 500, 422, 200]
        assert answers[2].json()["request_id"] == answers[2].headers["x-request-id"]
        assert "a bug" not in answers[2].text
        assert "no sense" in answers[3].json()["detail"]


async def test_the_documentation_has_the_projects_own_schemas():
    async with toy_server(version(1)) as (client, _):
        document = (await client.get("/openapi.json")).json()
        assert set(document["paths"]) == {PREDICT, "/v1/toy/invocations"}
        assert document["components"]["schemas"]["Order"]["properties"]["amount_eur"]["minimum"] == 0
        assert "is_high" in document["components"]["schemas"]["Price"]["properties"]
        example = document["paths"][PREDICT]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert (await client.post(PREDICT, json=example)).status_code == 200
        assert (await client.get("/docs")).status_code == 200


async def test_metrics_count_answers_by_status():
    async with toy_server(version(1)) as (client, service):
        for body in (order(), order(), 7):
            await client.post(PREDICT, json=body)
        text = (await client.get("/metrics")).text
        assert 'modelyard_requests_total{project="toy",route="predict",status="200"} 2.0' in text
        assert 'modelyard_requests_total{project="toy",route="predict",status="422"} 1.0' in text
        assert service.metrics.value("request_seconds_count", project="toy", route="predict") == 3


async def test_a_client_that_leaves_does_not_stop_the_others():
    gate = threading.Event()
    async with toy_server(version(1, gate=gate)) as (client, service):
        leaving = asyncio.create_task(client.post(PREDICT, json=order()))
        while not service.champion.model.batches:
            await asyncio.sleep(0.01)
        staying = asyncio.create_task(client.post(PREDICT, json=order()))
        await asyncio.sleep(0.02)
        leaving.cancel()
        gate.set()
        assert (await staying).status_code == 200
        with pytest.raises(asyncio.CancelledError):
            await leaving
