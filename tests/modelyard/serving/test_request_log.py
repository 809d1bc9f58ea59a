"""What was answered is on disk: sampled, rotated, without what is sensitive, and after kill -9."""

import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import polars as pl
import pytest

from modelyard.errors import StorageError
from modelyard.project import LoggedMedia
from modelyard.records import Media
from modelyard.serving.log_segments import (
    SEGMENT_SUFFIX,
    media_folder,
    read_segment,
    read_served,
    record_of,
    seal_leftovers,
    served_folder,
)
from modelyard.serving.metrics import Metrics
from modelyard.serving.request_log import Entry, Logged, LogLimits, RequestLog
from tests.modelyard.serving.conftest import PROJECT, running_server
from tests.modelyard.serving.toy import SLOW, TOY, Order, client_of, decode, order, toy_app, toy_server, version


@pytest.fixture
def anyio_backend():
    return "asyncio"


def served():
    """The log's rows; nothing of it is damaged."""
    rows, n_unreadable = read_served("toy")
    assert n_unreadable == 0
    return rows


def entry(request_id, *amounts, is_kept=True, **changes):
    made = Entry(
        served_at=time.time(),
        role="champion",
        version="1",
        logged=[Logged(request_id, len(amounts), None, is_kept)],
        inputs=decode([Order(customer_id=1, amount_eur=amount, note="my pin is 4711") for amount in amounts]),
        predictions=pl.DataFrame({"price": [amount * 2 for amount in amounts], "note": "4711"}),
    )
    return made._replace(**changes)


def open_log(project=TOY, metrics=None, **options):
    limits = {"rotate_bytes": 1e9, "rotate_s": 1e9, "keep_days": 1e4, "keep_bytes": 1e12} | options
    return RequestLog(project, LogLimits(**limits), metrics or Metrics())


@pytest.mark.usefixtures("data_directory")
class TestLog:
    def test_rows_come_back_in_order_with_their_types(self):
        log = open_log()
        before = datetime.now(UTC)
        log.append(entry("a", 1.0, 2.5))
        log.append(entry("b", 3.0))
        log.close()
        rows = served()
        assert rows["request_id"].to_list() == ["a", "a", "b"]
        assert rows["row"].to_list() == [0, 1, 0]
        assert rows["amount_eur"].to_list() == [1.0, 2.5, 3.0]
        assert rows["price"].to_list() == [2.0, 5.0, 6.0]
        assert rows.schema["served_at"] == pl.Datetime("us", "UTC")
        assert read_served("toy", since=datetime.now(UTC)).rows.is_empty()
        assert read_served("toy", since=before, until=datetime.now(UTC)).rows.height == 3

    def test_what_is_sensitive_is_nowhere(self):
        log = open_log()
        log.append(entry("a", 1.0))
        wait_for_rows(1)
        (segment,) = served_folder("toy").glob(f"*{SEGMENT_SUFFIX}")
        assert b"4711" not in segment.read_bytes()
        log.close()
        assert "note" not in served().columns

    def test_live_rows_are_readable_before_they_are_sealed(self):
        log = open_log()
        log.append(entry("a", 1.0))
        wait_for_rows(1)
        assert list(served_folder("toy").glob("*.parquet")) == []
        log.close()
        assert served().height == 1

    def test_segments_are_rotated_by_size_and_by_age(self):
        for options in ({"rotate_bytes": 10}, {"rotate_s": 0.01}):
            already = len(list(served_folder("toy").glob("*.parquet")))
            log = open_log(**options)
            for number in range(3):
                log.append(entry(str(number), 1.0))
                wait_for_files(already + number + 1)
            log.close()
        assert served().height == 6

    def test_only_the_sample_is_logged(self):
        log = open_log()
        log.append(entry("a", 1.0, is_kept=False))
        log.append(entry("b", 2.0))
        log.close()
        assert served()["request_id"].to_list() == ["b"]

    def test_nothing_was_ever_logged(self):
        assert served().is_empty()

    def test_a_half_record_costs_nothing_and_a_damaged_one_is_counted_and_set_aside(self):
        records = [record_of(pl.DataFrame({"served_at": [datetime.now(UTC)], "request_id": [name]})) for name in "abc"]
        folder = served_folder("toy")
        folder.mkdir(parents=True)
        broken = bytearray(records[1])
        broken[-20] ^= 255
        left = folder / f"left{SEGMENT_SUFFIX}"
        left.write_bytes(records[0] + bytes(broken) + records[2] + records[1][:50])
        assert read_served("toy").n_unreadable == 1
        seal_leftovers(folder)
        assert not left.exists()
        assert pl.read_parquet(folder / "left.parquet")["request_id"].to_list() == ["a", "c"]
        rows, n_unreadable = read_served("toy")
        assert (rows["request_id"].to_list(), n_unreadable) == (["a", "c"], 1)

    def test_wherever_a_byte_is_wrong_the_other_records_are_read(self, tmp_path):
        record = record_of(pl.DataFrame({"request_id": ["a"], "served_at": [datetime.now(UTC)]}))
        for at in range(0, 2 * len(record), 7):  # in the last one it could be the work of a kill
            data = bytearray(record * 3)
            data[at] ^= 0b1000_0001
            segment = tmp_path / f"{at}{SEGMENT_SUFFIX}"
            segment.write_bytes(bytes(data))
            tables, n_damaged = read_segment(segment)
            # All three: only the count of rows in a header was wrong.
            assert (len(tables), n_damaged >= 1) in ((2, True), (3, False)), at

    def test_files_of_an_earlier_form_and_damaged_ones_are_left_out_with_a_word(self, caplog):
        folder = served_folder("toy")
        log = open_log()
        log.append(entry("a", 1.0))
        log.close()
        old = pl.DataFrame(
            {"served_at": [datetime.now(UTC)], "request": [{"amount_eur": 1.0}], "prediction": [{"price": 2.0}]}
        )
        old.write_parquet(folder / "old.parquet")
        (folder / "older.segment.jsonl").write_text("{}")
        (folder / "broken.parquet").write_bytes(b"garbage")
        rows, n_unreadable = read_served("toy")
        assert (rows["request_id"].to_list(), n_unreadable) == (["a"], 1)
        assert "2 files of the request log have the form of an earlier release" in caplog.text

    def test_a_column_that_changed_its_type_is_read_as_text(self):
        log = open_log()
        for name, values in (("a", [1]), ("b", [[1.5, 2.0]]), ("c", ["x"])):
            log.append(entry(name, 1.0, predictions=pl.DataFrame({"price": values})))
        log.close()
        assert served()["price"].to_list() == ["1", "[1.5, 2.0]", "x"]

    def test_lists_go_as_their_mean_and_bytes_not_at_all(self):
        log = open_log()
        inputs = pl.DataFrame({"amounts_eur": [[1.0, 2.0], []], "days": [["a"], ["b"]], "pixels": [b"1", b"2"]})
        predictions = pl.DataFrame({"roll": [[1, 2], [3]], "quantiles": [[0.5, 1.5]] * 2, "midi": [b"1", b"2"]})
        predictions = predictions.with_columns(pl.col("roll").cast(pl.List(pl.UInt8)))
        log.append(entry("a", 1.0, 2.0, inputs=inputs, predictions=predictions))
        log.close()
        assert served()["amounts_eur"].to_list() == [1.5, None]
        assert served()["quantiles"].to_list() == [[0.5, 1.5]] * 2
        assert not {"days", "pixels", "roll", "midi"} & set(served().columns)

    def test_old_files_are_deleted_by_age_and_by_size(self):
        folder = served_folder("toy")
        folder.mkdir(parents=True)
        stamps = [f"{datetime.now(UTC) - timedelta(days=days):%Y%m%dT%H%M%S}" for days in (100, 50, 10, 1)]
        for stamp in stamps:
            (folder / f"{stamp}-1-a.parquet").write_bytes(b"x" * 1000)
        open_log(keep_days=60, keep_bytes=2500).close()
        assert sorted(path.name[:15] for path in folder.glob("*")) == stamps[2:]

    def test_a_segment_that_somebody_writes_is_left_alone(self):
        log = open_log()
        log.append(entry("a", 1.0))
        wait_for_rows(1)
        seal_leftovers(served_folder("toy"))
        assert list(served_folder("toy").glob("*.parquet")) == []
        log.append(entry("b", 1.0))
        log.close()
        assert served().height == 2

    def test_sealing_again_after_a_kill_counts_nothing_twice(self):
        log = open_log()
        log.append(entry("a", 1.0))
        wait_for_rows(1)
        (segment,) = served_folder("toy").glob(f"*{SEGMENT_SUFFIX}")
        copy = segment.read_bytes()
        log.close()
        segment.write_bytes(copy)  # as if killed between writing Parquet and removing the segment
        assert served().height == 1
        seal_leftovers(served_folder("toy"))
        assert served().height == 1

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


PICTURES = replace(
    TOY,
    contract=replace(
        TOY.contract, media=(Media(name="image", dtype="uint8", shape=(2,), description="Two pixels, 0 to 255."),)
    ),
    api=replace(
        TOY.api, decode=lambda requests: decode(requests).with_columns(image=pl.lit([1, 2], dtype=pl.List(pl.UInt8)))
    ),
)


@pytest.mark.anyio
@pytest.mark.usefixtures("data_directory")
@pytest.mark.parametrize(("share", "rows"), [(None, 0), (1.0, 3), (0.0, 0)])
async def test_media_are_kept_where_a_project_asks_for_a_sample_and_nowhere_else(share, rows):
    wish = LoggedMedia(share=share, retention_days=7) if share is not None else None
    project = replace(PICTURES, api=replace(PICTURES.api, logged_media=wish))
    async with toy_app((project,)) as app, client_of(app) as client:
        app.state.services["toy"].champion = version(1, project=project)
        await client.post("/v1/toy/predict", json=order(), headers={"X-Request-Id": "one"})
        await client.post("/v1/toy/predict", json=[order(), order()], headers={"X-Request-Id": "two"})
    assert "image" not in served().columns
    files = list(media_folder("toy").glob("*.parquet"))
    kept = pl.concat(map(pl.read_parquet, files)) if files else pl.DataFrame()
    assert kept.height == rows
    if rows:
        assert kept.sort("request_id", "row")["image"].to_list() == [[1, 2]] * 3
        name = f"{datetime.now(UTC) - timedelta(days=8):%Y%m%dT%H%M%S}-1-a.parquet"
        (media_folder("toy") / name).write_bytes(b"x")
        open_log(project).close()
        assert sorted(media_folder("toy").glob("*")) == sorted(files)
        open_log(TOY).close()  # it asks for none any more
        assert list(media_folder("toy").glob("*")) == []


@pytest.mark.anyio
@pytest.mark.usefixtures("data_directory")
async def test_media_that_cannot_be_kept_end_no_log(monkeypatch):
    """A full disk for the sample of pictures: rows are still written, and counted once."""

    def full(log, tables):
        if tables:
            raise StorageError("The disk is full.")

    monkeypatch.setattr(RequestLog, "_write_media", full)
    project = replace(PICTURES, api=replace(PICTURES.api, logged_media=LoggedMedia(share=1.0, retention_days=7)))
    async with toy_app((project,)) as app, client_of(app) as client:
        app.state.services["toy"].champion = version(1, project=project)
        for number in range(3):
            await client.post("/v1/toy/predict", json=order(), headers={"X-Request-Id": f"request {number}"})
            await anyio.sleep(0.3)  # each is written by itself
    assert served().height == 3


@pytest.mark.anyio
@pytest.mark.usefixtures("data_directory")
async def test_what_was_given_up_is_not_logged_as_served():
    async with toy_server(version(3, seconds=1.2), timeout_s=1.0, max_wait_ms=0) as (client, service):
        late = await client.post("/v1/toy/predict", json=order(), headers={"X-Request-Id": "late"})
        assert late.status_code == 504
        service.champion.model.seconds = 0.0
        assert (await client.post("/v1/toy/predict", json=order(), headers={"X-Request-Id": "b"})).status_code == 200
        bad = await client.post("/v1/toy/predict", json=order(note="crash"), headers={"X-Request-Id": "bad"})
        assert bad.status_code == 500
    assert served()["request_id"].to_list() == ["b"]


@pytest.mark.anyio
@pytest.mark.usefixtures("data_directory")
async def test_a_stream_is_logged_with_its_inputs():
    async with toy_app((SLOW,)) as app, client_of(app) as client:
        app.state.services["slow"].champion = version(4, project=SLOW)
        await client.post("/v1/slow/stream", json=order(amount_eur=2), headers={"X-Request-Id": "s"})
        await client.post("/v1/slow/stream", json=order(note="crash"), headers={"X-Request-Id": "c"})
        await client.post("/v1/slow/predict", json=order(), headers={"X-Request-Id": "p"})
    rows = read_served("slow").rows.select("request_id", "role", "version", "amount_eur", "price")
    assert rows.rows() == [("s", "stream", "4", 2.0, None), ("p", "champion", "4", 30.0, 60.0)]


@pytest.mark.anyio
@pytest.mark.usefixtures("data_directory")
async def test_each_request_is_decoded_once_whoever_answers():
    seen = []

    def counting(requests):
        seen.extend(request.customer_id for request in requests)
        return decode(requests)

    project = replace(TOY, api=replace(TOY.api, decode=counting))
    async with toy_app((project,), shadow_share=1.0, canary_share=0.5) as app, client_of(app) as client:
        service = app.state.services["toy"]
        service.champion, service.challenger = version(1, project=project), version(2, project=project)
        for number in range(20):
            await client.post("/v1/toy/predict", json=order(customer_id=number))
    assert seen == list(range(20))
    assert set(served()["role"]) == {"champion", "canary", "shadow"}


@pytest.mark.anyio
@pytest.mark.usefixtures("data_directory")
async def test_answers_are_logged_by_the_server_with_their_ids():
    async with toy_server(version(3)) as (client, _):
        for number in range(5):
            await client.post("/v1/toy/predict", json=order(note="4711"), headers={"X-Request-Id": f"r{number}"})
        await client.post("/v1/toy/predict", json=[order(), order()], headers={"X-Request-Id": "both"})
        await client.post("/v1/toy/predict", json=7)
    rows = served()
    assert rows["request_id"].to_list() == [*(f"r{number}" for number in range(5)), "both", "both"]
    assert set(rows["version"]) == {"3"}
    assert "note" not in rows.columns


@pytest.mark.anyio
@pytest.mark.usefixtures("data_directory")
async def test_a_share_is_logged():
    async with toy_server(version(3), log_share=0.2) as (client, _):
        for _ in range(200):
            await client.post("/v1/toy/predict", json=order())
    assert 15 < served().height < 75


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
        logged = set(read_served(PROJECT).rows["request_id"])
        assert {one for at, one in ids if killed - at > 1} - logged == set()
        assert len(ids) - len(logged & {one for _, one in ids}) < 300
        folder = served_folder(PROJECT)
        assert list(folder.glob(f"*{SEGMENT_SUFFIX}"))
        seal_leftovers(folder)
        assert not list(folder.glob(f"*{SEGMENT_SUFFIX}"))
        rows = read_served(PROJECT).rows
    assert set(rows["request_id"]) == logged
    assert "customer_id" not in rows.columns  # sensitive, says the contract
    assert {"terminal_id", "amount", "customer_recent_ages_h", "score", "is_alert", "version"} <= set(rows.columns)
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
        assert set(answers) <= set(read_served(PROJECT).rows["request_id"])
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
    wait_until(lambda: served().height >= n)


def wait_for_files(n):
    wait_until(lambda: len(list(served_folder("toy").glob("*.parquet"))) >= n)
