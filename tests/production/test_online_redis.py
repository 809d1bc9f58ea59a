"""Online features in a real Redis: the same answers as from a file, exchanged as a whole, readable failures."""

import runpy
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import redis as redis_client
from polars.testing import assert_frame_equal

from modelyard.errors import ConfigurationError, StorageError
from modelyard.feature_store.store import FeatureStore
from modelyard.serving.online_features import OnlineFeatures
from tests.services import free_port

TOY = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "modelyard" / "feature_store" / "toy.py")))
VARIABLE = "MODELYARD_ONLINE_STORE"


@pytest.fixture
def database(redis) -> redis_client.Redis:
    client = redis_client.Redis(port=redis.port, password=redis.password)
    client.flushall()
    return client


@pytest.fixture
def store(redis, database, tmp_path, monkeypatch) -> FeatureStore:
    monkeypatch.setenv(VARIABLE, redis.address("redis", "0"))
    return a_store(tmp_path / "redis")


def a_store(folder: Path) -> FeatureStore:
    return FeatureStore("toy", TOY.views(), folder=folder / "toy", registry=str(folder / "registry.db"))


def test_redis_answers_what_a_file_answers(store, tmp_path, monkeypatch):
    store.write(TOY.frames())
    answers = {view.name: store.online(view.name, keys_of(view)) for view in store.views}
    monkeypatch.delenv(VARIABLE)
    in_file = a_store(tmp_path / "file")
    in_file.write(TOY.frames())
    assert not (store.folder / "online.db").exists()
    for view in store.views:
        assert_frame_equal(answers[view.name], in_file.online(view.name, keys_of(view)))
    assert answers["customer"]["amount_eur"].to_list()[0] == 3.25


def keys_of(view) -> list:
    return [1, 2, 3, 99, None, 1] if view.entity_dtype == "int64" else ["ulm", "köln", "nowhere", None]


def test_a_corrected_value_counts_and_a_gone_entity_is_gone(store):
    """Feast's own Redis store keeps both: its rows change only with a later event time."""
    store.write(TOY.frames())
    corrected = TOY.frames(offset=100.0)
    store.write(
        {name: frame.filter(pl.nth(0) != 3) if name == "customer" else frame for name, frame in corrected.items()}
    )
    answer = store.online("customer", [1, 3])
    assert answer["amount_eur"].to_list() == [103.25, None]
    assert answer["n_visits"].to_list() == [None, None]


def test_what_is_replaced_expires_and_what_is_anothers_stays(store, database):
    store.write(TOY.frames())
    before = set(database.scan_iter())
    database.set(b"xx@toy@0@others@1-ff", 1)  # an entity of another project with this project's name in it
    database.hset(b"yy@toy@1-ff", "left by a killed write", 1)
    store.write(TOY.frames())
    lifetimes = {key: database.ttl(key) for key in database.scan_iter()}
    pointer = b"modelyard:toy:online"
    assert all(0 < lifetimes[key] <= 60 for key in before - {pointer})
    assert 0 < lifetimes[b"yy@toy@1-ff"] <= 60
    assert lifetimes[b"xx@toy@0@others@1-ff"] == -1
    assert {lifetimes[key] for key in set(lifetimes) - before - {b"yy@toy@1-ff"}} == {-1}


def test_readers_see_one_write_or_the_other(store):
    keys = list(range(1, 301))

    def frames(value: float) -> dict:
        customers = pl.DataFrame({"customer_id": keys}).with_columns(
            pl.lit(TOY.NOON).dt.cast_time_unit("us").alias("event_time"),
            pl.lit(value).alias("amount_eur"),
            pl.lit(int(value)).alias("n_visits"),
            pl.lit(True).alias("is_new"),
            pl.lit("Ulm").alias("last_shop"),
        )
        return TOY.frames() | {"customer": customers}

    store.write(frames(0.0))
    seen, is_over, failures = [], threading.Event(), []

    def read() -> None:
        reader = FeatureStore("toy", TOY.views(), folder=store.folder, registry=store.registry)
        while not is_over.is_set():
            try:
                answer = reader.online("customer", keys)
            except Exception as error:  # the assertion below shows it
                failures.append(error)
                return
            seen.append(set(answer.select("amount_eur", "n_visits").rows()))

    reader = threading.Thread(target=read)
    reader.start()
    for value in (1.0, 2.0, 3.0):
        store.write(frames(value))
    is_over.set()
    reader.join()
    assert not failures
    assert seen
    assert all(len(values) == 1 for values in seen)


def test_a_write_that_is_killed_before_its_end_changes_nothing(store, monkeypatch):
    store.write(TOY.frames())
    monkeypatch.setattr("modelyard.feature_store.online_redis.publish", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write(TOY.frames(offset=100.0))
    assert store.online("customer", [1])["amount_eur"].to_list() == [3.25]


def killed(*_arguments) -> None:
    raise KeyboardInterrupt


def test_expired_rows_are_left_out_at_the_moment_asked_for(store):
    store.write(TOY.frames())
    day_after = TOY.NOON + timedelta(days=1)
    assert store.online("customer", [1], at=day_after - timedelta(minutes=1))["amount_eur"].to_list() == [3.25]
    assert store.online("customer", [1], at=day_after + timedelta(minutes=1))["amount_eur"].to_list() == [None]


def test_the_server_reads_by_key_from_redis(store):
    store.write(TOY.frames())
    customers = TOY.views()[:1]
    project = SimpleNamespace(name="toy", feature_views=TOY.views(), contract=SimpleNamespace(event_time="event_time"))
    online = OnlineFeatures(project, store.folder)
    moment = TOY.NOON + timedelta(hours=1)
    requests = [SimpleNamespace(customer_id=key, shop_id=None, event_time=moment) for key in (1, 99)]
    known, unknown = online.known(requests)
    assert known.features["amount_eur"] == 3.25
    assert known.as_of[customers[0].name] == TOY.NOON.isoformat()
    assert unknown.features["amount_eur"] is None
    assert unknown.as_of[customers[0].name] is None


def test_another_schema_is_said(store):
    store.write(TOY.frames())
    fewer = FeatureStore("toy", TOY.views()[:1], folder=store.folder, registry=store.registry)
    with pytest.raises(StorageError, match="another schema"):
        fewer.online("customer", [1])
    project = SimpleNamespace(name="toy", feature_views=TOY.views()[:1], contract=SimpleNamespace(event_time=None))
    with pytest.raises(StorageError, match="another schema"):
        OnlineFeatures(project, store.folder).known([SimpleNamespace(customer_id=1)])


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda redis: f"redis://127.0.0.1:{free_port()}/0", StorageError, "onnect"),
        (lambda redis: redis.address("redis", "0", password="wrong-word"), StorageError, "invalid username-password"),
        (lambda redis: f"redis://127.0.0.1:{redis.port}/0", StorageError, "Authentication required"),
        (lambda redis: redis.address("redis", "99"), StorageError, "DB index is out of range"),
        (lambda redis: redis.address("http", "0"), ConfigurationError, "not a Redis address"),
    ],
)
def test_a_redis_that_does_not_answer_is_said_once(redis, store, monkeypatch, change, kind, said):
    store.write(TOY.frames())
    monkeypatch.setenv(VARIABLE, change(redis))
    for ask in (
        lambda: a_store(store.folder.parent).write(TOY.frames(offset=100.0)),
        lambda: a_store(store.folder.parent).online("customer", [1]),
    ):
        with pytest.raises(kind, match=said) as raised:
            ask()
        assert VARIABLE in str(raised.value)
        assert "way out" in str(raised.value)
        assert not [word for word in {*redis.secrets(), "wrong-word"} if word in str(raised.value)]
    monkeypatch.setenv(VARIABLE, redis.address("redis", "0"))
    assert a_store(store.folder.parent).online("customer", [1])["amount_eur"].to_list() == [3.25]
