"""Challenger on trial: the shadow changes no answer, the canary is sticky and ends by itself."""

import asyncio

import pytest

from modelyard.serving.canary import Behaviour, CanaryPolicy, Watch, is_chosen, reason_to_roll_back
from modelyard.serving.log_segments import read_served
from tests.modelyard.serving.toy import order, toy_server, version

PREDICT = "/v1/toy/predict"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def _toy(data_directory):
    pass


def behaviour(requests=1000, errors=0, p95_s=0.010):
    return Behaviour(requests=requests, errors=errors, p95_s=p95_s)


@pytest.mark.parametrize(
    ("champion", "canary", "ends"),
    [
        (behaviour(), behaviour(), False),
        (behaviour(), behaviour(errors=4), False),  # too few to tell
        (behaviour(), behaviour(errors=10), False),  # 1 %: within the margin
        (behaviour(), behaviour(errors=11), True),
        (behaviour(), behaviour(requests=5, errors=5), True),  # fails from the start
        (behaviour(errors=100), behaviour(errors=100), False),  # both fail alike: not the version's fault
        (behaviour(errors=100), behaviour(errors=120), True),
        (behaviour(requests=0), behaviour(requests=5, errors=5), True),  # all keys are the canary's
        (behaviour(), behaviour(p95_s=0.024), False),
        (behaviour(), behaviour(p95_s=0.026), True),
        (behaviour(), behaviour(p95_s=0.001), False),  # quicker is no fault
        (behaviour(), behaviour(requests=49, p95_s=9.0), False),
        (behaviour(requests=49), behaviour(p95_s=9.0), False),
        (behaviour(requests=50), behaviour(requests=50, p95_s=9.0), True),
    ],
)
def test_when_a_canary_ends(champion, canary, ends):
    policy = CanaryPolicy(min_errors=5, error_margin=0.01, min_requests=50, latency_factor=1.5, latency_slack_s=0.010)
    assert (reason_to_roll_back(champion, canary, policy) is not None) is ends


def test_the_share_of_keys_is_kept_and_sticky():
    chosen = {key for key in map(str, range(20_000)) if is_chosen(key, "2", 0.1)}
    assert 0.09 < len(chosen) / 20_000 < 0.11
    assert chosen == {key for key in map(str, range(20_000)) if is_chosen(key, "2", 0.1)}
    assert chosen <= {key for key in map(str, range(20_000)) if is_chosen(key, "2", 0.3)}  # a larger share adds keys
    assert chosen != {key for key in map(str, range(20_000)) if is_chosen(key, "3", 0.1)}
    assert not any(is_chosen(key, "2", 0.0) for key in chosen)
    assert all(is_chosen(str(key), "2", 1.0) for key in range(1000))


def test_a_watch_sees_failures_and_the_95th_percentile():
    watch = Watch()
    for number in range(100):
        watch.add(number / 1000, failed=False)
    watch.add(5.0, failed=True)
    assert watch.behaviour() == Behaviour(requests=101, errors=1, p95_s=0.095)


@pytest.mark.anyio
async def test_the_canary_answers_its_share_of_keys_always_the_same():
    async with toy_server(version(1, 2.0), version(2, 3.0), canary_share=0.3) as (client, _):
        versions = []
        for _ in range(2):
            for customer in range(60):
                answer = await client.post(PREDICT, json=order(customer_id=customer))
                used = answer.headers["x-model-version"]
                assert answer.json()["price_eur"] == {"1": 60.0, "2": 90.0}[used]
                versions.append(used)
        assert versions[:60] == versions[60:]
        assert 8 <= versions[:60].count("2") <= 28
        chosen = versions.index("2")
        alone = await client.post(PREDICT, json=[order(customer_id=chosen)] * 3)
        assert alone.headers["x-model-version"] == "2"
        mixed = await client.post(PREDICT, json=[order(customer_id=chosen), order(customer_id=versions.index("1"))])
        assert mixed.headers["x-model-version"] == "1"  # rows of several keys: one version, the champion


@pytest.mark.anyio
async def test_a_failing_canary_is_rolled_back_and_nobody_notices():
    async with toy_server(version(1), version(2, breaks=True), canary_share=1.0) as (client, service):
        for number in range(20):
            answer = await client.post(PREDICT, json=order(customer_id=number))
            assert (answer.status_code, answer.headers["x-model-version"]) == (200, "1")
        assert sum(service.challenger.model.batches) == 5
        state = (await client.get("/v1/toy")).json()["canary"]
        assert state["version"] is None
        assert "100.0% of its requests failed" in state["rolled_back"]["2"]
        assert service.metrics.value("canary_rollbacks_total", project="toy", version="2") == 1


@pytest.mark.anyio
async def test_a_slow_canary_is_rolled_back():
    async with toy_server(version(1), version(2, seconds=0.03), canary_share=0.5) as (client, service):
        for number in range(200):
            assert (await client.post(PREDICT, json=order(customer_id=number))).status_code == 200
        assert "p95" in service.rolled_back[service.challenger.identity]


@pytest.mark.anyio
async def test_a_good_canary_goes_on():
    async with toy_server(version(1), version(2), canary_share=0.5) as (client, service):
        for number in range(150):
            await client.post(PREDICT, json=order(customer_id=number))
        assert service.canary() is service.challenger


@pytest.mark.anyio
async def test_the_shadow_scores_without_touching_answers():
    async with toy_server(version(1, 2.0), version(2, 3.0), shadow_share=1.0) as (client, service):
        for number in range(20):
            answer = await client.post(PREDICT, json=order(amount_eur=2.0 * number))
            assert answer.headers["x-model-version"] == "1"
            assert answer.json()["price_eur"] == 4.0 * number
        while sum(service.challenger.model.batches) < 20 or not service.shadow.report():
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)
        report = (await client.get("/v1/toy")).json()["shadow"]
        assert report["version"] == "2"
        assert report["fields"]["price_eur"]["mean_absolute_difference"] == pytest.approx(19.0)
        assert report["fields"]["price_eur"]["equal_share"] == pytest.approx(1 / 20)
        # 6 n > 100 from n = 17 on, 4 n > 100 never
        assert report["fields"]["is_high"] == {"rows": 20, "equal_share": pytest.approx(17 / 20)}
        text = (await client.get("/metrics")).text
        assert 'modelyard_shadow_agreement{field="is_high",project="toy",version="2"} 0.85' in text
    rows = read_served("toy").rows
    assert sorted(rows["role"].to_list()) == ["champion"] * 20 + ["shadow"] * 20
    pairs = rows.pivot(on="role", index="request_id", values="price").select("champion", "shadow")
    assert pairs.filter(pairs["shadow"] != pairs["champion"] * 1.5).is_empty()


@pytest.mark.anyio
async def test_a_broken_or_slow_shadow_costs_nobody_anything():
    async with toy_server(version(1), version(2, breaks=True), shadow_share=1.0) as (client, service):
        for _ in range(5):
            assert (await client.post(PREDICT, json=order())).status_code == 200
        failed = {"project": "toy", "version": "2", "outcome": "failed"}
        while service.metrics.value("shadow_rows_total", **failed) < 5:
            await asyncio.sleep(0.02)


@pytest.mark.anyio
async def test_a_share_of_the_traffic_is_shadowed():
    async with toy_server(version(1), version(2), shadow_share=0.3) as (client, service):
        await asyncio.gather(*(client.post(PREDICT, json=order()) for _ in range(300)))
    assert 50 < sum(service.challenger.model.batches) < 140
    assert service.state()["shadow"]["share"] == 0.3
