"""What was answered is on disk: sampled, rotated, without what is sensitive, and after kill -9."""

import signal
import threading
import time
from datetime import UTC, datetime

import polars as pl
import pytest

from modelyard.serving import log_segments
from modelyard.serving.log_segments import SEGMENT_SUFFIX, read_served, seal_leftovers, served_folder
from modelyard.serving.metrics import Metrics
from modelyard.serving.request_log import Entry, Logged, RequestLog
from tests.modelyard.serving.conftest import PROJECT, running_server
from tests.modelyard.serving.toy import TOY, Order, order, toy_server, version


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def _toy(data_directory, monkeypatch):
    monkeypatch.setattr(log_segments, "load_project", lambda name: TOY)


def entry(request_id, *amounts, is_sampled=True):
    return Entry(
        served_at=time.time(),
        role="champion",
        version="1",
        logged=[Logged(request_id, len(amounts), None, is_sampled)],
        requests=[Order(customer_id=1, amount_eur=amount, note="my pin is 4711") for amount in amounts],
        predictions=pl.DataFrame({"price": [amount * 2 for amount in amounts], "note": "4711"}),
    )


def open_log(**options):
    options = {"sensitive": ["note"], "rotate_bytes": 1e9, "rotate_s": 1e9, "metrics": Metrics()} | options
    return RequestLog("toy", served_folder("toy"), **options)


@pytest.mark.usefixtures("_toy")
class TestLog:
    def test_rows_come_back_in_order_with_their_types(self):
        log = open_log()
        before = datetime.now(UTC)
        log.append(entry("a", 1.0, 2.5))
        log.append(entry("b", 3.0))
        log.close()
        rows = read_served("toy")
        assert rows["request_id"].to_list() == ["a", "a", "b"]
        assert rows["row"].to_list() == [0, 1, 0]
        assert rows["amount_eur"].to_list() == [1.0, 2.5, 3.0]
        assert rows["price"].to_list() == [2.0, 5.0, 6.0]
        assert rows.schema["served_at"] == pl.Datetime("us", "UTC")
        assert read_served("toy", since=datetime.now(UTC)).is_empty()
        assert read_served("toy", since=before, until=datetime.now(UTC)).height == 3

    def test_what_is_sensitive_is_nowhere(self):
        log = open_log()
        log.append(entry("a", 1.0))
        wait_for_rows(1)
        (segment,) = served_folder("toy").glob(f"*{SEGMENT_SUFFIX}")
        assert b"4711" not in segment.read_bytes()
        log.close()
        assert "note" not in read_served("toy").columns

    def test_live_rows_are_readable_before_they_are_sealed(self):
        log = open_log()
        log.append(entry("a", 1.0))
        wait_for_rows(1)
        assert list(served_folder("toy").glob("*.parquet")) == []
        log.close()
        assert read_served("toy").height == 1

    def test_segments_are_rotated_by_size_and_by_age(self):
        for options in ({"rotate_bytes": 10}, {"rotate_s": 0.01}):
            already = len(list(served_folder("toy").glob("*.parquet")))
            log = open_log(**options)
            for number in range(3):
                log.append(entry(str(number), 1.0))
                wait_for_files(already + number + 1)
            log.close()
        assert read_served("toy").height == 6

    def test_only_the_sample_is_logged(self):
        log = open_log()
        log.append(entry("a", 1.0, is_sampled=False))
        log.append(entry("b", 2.0))
        log.close()
        assert read_served("toy")["request_id"].to_list() == ["b"]

    def test_nothing_was_ever_logged(self):
        assert read_served("toy").is_empty()

    def test_a_half_line_and_a_damaged_one_cost_only_themselves(self):
        log = open_log()
        for name in "abc":
            log.append(entry(name, 1.0))
        wait_for_rows(3)
        (segment,) = served_folder("toy").glob(f"*{SEGMENT_SUFFIX}")
        first, second, third = segment.read_bytes().splitlines(keepends=True)
        left = segment.with_name(f"left{SEGMENT_SUFFIX}")
        left.write_bytes(first + b'{"served_at": \x00\x00\n' + third + second[:20])
        log.close()
        seal_leftovers(served_folder("toy"))
        assert not left.exists()
        assert pl.read_parquet(served_folder("toy") / "left.parquet")["request_id"].to_list() == ["a", "c"]

    def test_a_segment_that_somebody_writes_is_left_alone(self):
        log = open_log()
        log.append(entry("a", 1.0))
        wait_for_rows(1)
        seal_leftovers(served_folder("toy"))
        assert list(served_folder("toy").glob("*.parquet")) == []
        log.append(entry("b", 1.0))
        log.close()
        assert read_served("toy").height == 2

    def test_sealing_again_after_a_kill_counts_nothing_twice(self):
        log = open_log()
        log.append(entry("a", 1.0))
        wait_for_rows(1)
        (segment,) = served_folder("toy").glob(f"*{SEGMENT_SUFFIX}")
        copy = segment.read_bytes()
        log.close()
        segment.write_bytes(copy)  # as if killed between writing Parquet and removing the segment
        assert read_served("toy").height == 1
        seal_leftovers(served_folder("toy"))
        assert read_served("toy").height == 1

    def test_a_full_disk_drops_rows_and_says_so(self, monkeypatch):
        metrics = Metrics()
        log = open_log(metrics=metrics)

        def full(path):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("modelyard.serving.request_log.os.fsync", full)
        log.append(entry("a", 1.0))
        wait_until(lambda: metrics.value("log_rows_total", project="toy", outcome="dropped") == 1)
        monkeypatch.undo()
        log.close()


@pytest.mark.anyio
@pytest.mark.usefixtures("_toy")
async def test_answers_are_logged_by_the_server_with_their_ids():
    async with toy_server(version(3)) as (client, _):
        for number in range(5):
            await client.post("/v1/toy/predict", json=order(note="4711"), headers={"X-Request-Id": f"r{number}"})
        await client.post("/v1/toy/predict", json=[order(), order()], headers={"X-Request-Id": "both"})
        await client.post("/v1/toy/predict", json=7)
    rows = read_served("toy")
    assert rows["request_id"].to_list() == [*(f"r{number}" for number in range(5)), "both", "both"]
    assert set(rows["version"]) == {"3"}
    assert "note" not in rows.columns


@pytest.mark.anyio
@pytest.mark.usefixtures("_toy")
async def test_a_share_is_logged():
    async with toy_server(version(3), log_share=0.2) as (client, _):
        for _ in range(200):
            await client.post("/v1/toy/predict", json=order())
    assert 15 < read_served("toy").height < 75


def test_kill_9_loses_nothing_that_was_answered_a_second_ago(registry, tmp_path):
    registry.promote(1)
    ids = []
    with running_server(registry.data, tmp_path) as server:
        server.wait_for(1)
        for number in range(300):
            answered = post_example(server, f"kill-{number}")
            ids.append((time.monotonic(), answered))
            if number % 20 == 0:
                time.sleep(0.1)
        killed = time.monotonic()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with registry.here():
        logged = set(read_served(PROJECT)["request_id"])
        assert {one for at, one in ids if killed - at > 1} - logged == set()
        assert len(ids) - len(logged & {one for _, one in ids}) < 300
        folder = served_folder(PROJECT)
        assert list(folder.glob(f"*{SEGMENT_SUFFIX}"))
        seal_leftovers(folder)
        assert not list(folder.glob(f"*{SEGMENT_SUFFIX}"))
        rows = read_served(PROJECT)
    assert set(rows["request_id"]) == logged
    assert "customer_id" not in rows.columns  # sensitive, says the contract
    assert {"terminal_id", "amount_eur", "customer_recent_ages_h", "score", "is_alert", "version"} <= set(rows.columns)
    assert rows.schema["event_time"] == pl.Datetime("us", "UTC")


def test_sigterm_answers_what_is_queued_seals_the_log_and_exits_with_0(registry, tmp_path):
    registry.promote(1)
    answers = []
    with running_server(registry.data, tmp_path, "--max-wait-ms", "300") as server:
        server.wait_for(1)
        threads = [
            threading.Thread(target=lambda n=n: answers.append(post_example(server, f"term-{n}"))) for n in range(8)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.15)
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert server.process.wait(30) == 0, server.errors.read_text()
    assert sorted(answers) == sorted(f"term-{n}" for n in range(8))
    with registry.here():
        assert set(answers) <= set(read_served(PROJECT)["request_id"])
        assert not list(served_folder(PROJECT).glob(f"*{SEGMENT_SUFFIX}"))


def post_example(server, request_id):
    from modelyard.projects import load_project

    example = load_project(PROJECT).api.example.model_dump(mode="json")
    answer = server.client.post(f"/v1/{PROJECT}/predict", json=example, headers={"X-Request-Id": request_id})
    assert answer.status_code == 200
    return request_id


def wait_until(condition, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_rows(n):
    wait_until(lambda: read_served("toy").height >= n)


def wait_for_files(n):
    wait_until(lambda: len(list(served_folder("toy").glob("*.parquet"))) >= n)
