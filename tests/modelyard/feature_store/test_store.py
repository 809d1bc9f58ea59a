"""A project's features: written, joined, looked up; and what is said when they are not there."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from modelyard.errors import ConfigurationError, DataContractError, StorageError
from modelyard.feature_store.store import FeatureStore

NOT_WRITTEN = "The project's features have not been written yet."
CUSTOMERS, SHOPS = [3, 1, None, 2, 99, 1], ["Köln", "Ulm", None, "nowhere", "", "Ulm"]


@pytest.fixture(scope="module")
def written(toy, tmp_path_factory) -> FeatureStore:
    store = toy.store("toy", tmp_path_factory.mktemp("features"))
    store.write(toy.frames())
    return store


@pytest.fixture
def damaged(toy, written, tmp_path) -> FeatureStore:
    """The written features in a folder that a test may damage."""
    shutil.copytree(written.folder.parent, tmp_path, dirs_exist_ok=True)
    return toy.store("toy", tmp_path)


def asked(toy, hours: float = 0) -> pl.DataFrame:
    """``CUSTOMERS`` and ``SHOPS`` at noon, or later."""
    noon = pl.lit(toy.NOON + timedelta(hours=hours)).dt.cast_time_unit("us")
    return pl.DataFrame({"customer_id": CUSTOMERS, "shop_id": SHOPS}).with_columns(event_time=noon)


def test_looked_up_is_what_joined_gives_at_the_moment_of_the_last_row(toy, written):
    joined = written.historical(asked(toy))
    for view, keys in (("customer", CUSTOMERS), ("shop", SHOPS)):
        looked_up = written.online(view, keys)
        assert_frame_equal(looked_up, joined.select(looked_up.columns))
    assert joined["amount_eur"].to_list() == [None, 3.25, None, None, None, 3.25]
    assert joined["n_visits"].to_list() == [4, None, None, None, None, None]
    assert joined["last_shop"].to_list() == ["Köln", None, None, None, None, None]
    assert joined["step_codes"].to_list() == [[3, 4], [1, 2], None, None, None, [1, 2]]


@pytest.mark.parametrize("hours", [0.5, 1, 2, 24, 25])
def test_what_has_expired_since_the_last_write_is_left_out_of_both(toy, written, hours):
    joined = written.historical(asked(toy, hours))
    at = toy.NOON + timedelta(hours=hours)
    for view, keys in (("customer", CUSTOMERS), ("shop", SHOPS)):
        looked_up = written.online(view, keys, at=at)
        assert_frame_equal(looked_up, joined.select(looked_up.columns))
    assert joined["is_new"].to_list()[1] == (None if hours > 24 else False)
    assert joined["n_visits"].to_list()[0] == (4 if hours <= 1 else None)
    assert joined["risk_share"].to_list()[1] is not None


def test_only_rows_known_by_then_are_looked_up_after_a_write_until_a_moment(toy, tmp_path):
    store = toy.store("toy", tmp_path)
    until = toy.NOON - timedelta(hours=1)
    store.write(toy.frames(), until=until)
    joined = store.historical(asked(toy, hours=-1))
    assert_frame_equal(store.online("customer", CUSTOMERS), joined.select(store.online("customer", []).columns))
    assert store.online("customer", [1])["amount_eur"].item() == 1.5


def test_rows_and_other_columns_stay_as_they_were(toy, written):
    entities = asked(toy).with_columns(label=pl.Series([1, 0, 1, 0, 1, 0]))
    joined = written.historical(entities, ["customer"])
    assert_frame_equal(joined.select(entities.columns), entities)
    assert joined.columns == [*entities.columns, "amount_eur", "n_visits", "is_new", "last_shop"]
    assert written.historical(entities, []).equals(entities)
    assert written.historical(entities.clear()).height == 0
    assert written.online("shop", []).height == 0


def test_a_handle_sees_what_another_one_has_written(toy, tmp_path):
    reader, writer = toy.store("toy", tmp_path), toy.store("toy", tmp_path)
    for offset in (0.0, 1.0):
        writer.write(toy.frames(offset))
        assert toy.amount(reader) == 3.25 + offset


def test_what_was_not_written_is_said(toy, tmp_path):
    store = toy.store("toy", tmp_path)
    assert not store.exists()
    for read in (lambda: store.historical(asked(toy)), lambda: store.online("customer", [1])):
        with pytest.raises(StorageError, match=NOT_WRITTEN) as error:
            read()
        assert error.value.way_out == "kedro run --pipeline=toy"
    assert list(tmp_path.iterdir()) == []


def test_another_schema_is_said_and_a_write_makes_it_the_new_one(toy, damaged):
    customer, shop = toy.views()
    longer = replace(customer, ttl=timedelta(days=2))
    store = FeatureStore("toy", (longer, shop), folder=damaged.folder, registry=damaged.registry)
    assert damaged.exists()
    assert not store.exists()
    with pytest.raises(StorageError, match=r"The stored features were written with another schema."):
        store.online("customer", [1])
    store.write(toy.frames())
    assert store.online("customer", [2])["amount_eur"].item() == 2.0
    with pytest.raises(StorageError, match=r"another schema"):
        damaged.historical(asked(toy))


def test_a_view_that_is_gone_leaves_the_registry(toy, damaged):
    import feast

    from modelyard.feature_store.objects import repo_config

    store = FeatureStore("toy", toy.views()[:1], folder=damaged.folder, registry=damaged.registry)
    store.write({"customer": toy.frames()["customer"]})
    registry = feast.FeatureStore(config=repo_config("toy", damaged.folder, damaged.registry)).registry
    assert [view.name for view in registry.list_feature_views("toy")] == ["customer"]
    assert [source.name for source in registry.list_data_sources("toy")] == ["customer"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scramble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 3] = b"\xff" * (len(content) // 3 - 4)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, scramble, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damaged_files_are_one_clear_error(toy, damaged, damage):
    damage(damaged.folder / "customer.parquet")
    with pytest.raises(StorageError, match=r"The stored features cannot be read: ") as error:
        damaged.historical(asked(toy))
    assert error.value.way_out == "kedro run --pipeline=toy"
    damage(damaged.folder / "online.db")
    with pytest.raises(StorageError, match=r"The stored features cannot be read: ") as error:
        toy.store("toy", damaged.folder.parent).online("customer", [1])
    assert error.value.way_out == "kedro run --pipeline=toy"
    damaged.write(toy.frames())
    assert toy.amount(damaged) == 3.25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"customer_id": None}, "The table lacks customer_id."),
        ({"event_time": None}, "The table lacks event_time."),
        ({"customer_id": pl.lit("a")}, "The keys are String, the feature view's are Int64."),
        ({"shop_id": pl.lit(1)}, "The keys are Int32, the feature view's are String."),
        ({"event_time": pl.lit("noon")}, "The column holds String, not times with a time zone."),
        ({"event_time": pl.col("event_time").dt.replace_time_zone(None)}, "not times with a time zone."),
        ({"amount_eur": pl.lit(1.0)}, "The table has amount_eur already."),
    ],
)
def test_a_table_that_cannot_be_joined_says_why(toy, written, change, message):
    entities = asked(toy).with_columns(**{name: value for name, value in change.items() if value is not None})
    entities = entities.drop(name for name, value in change.items() if value is None)
    with pytest.raises(DataContractError, match=message):
        written.historical(entities)


def test_wrong_keys_and_views_are_named(written):
    with pytest.raises(DataContractError, match=r"The keys are String, the feature view's are Int64."):
        written.online("customer", ["1"])
    with pytest.raises(DataContractError, match=r"The keys are not of one type"):
        written.online("customer", [1, "1"])
    with pytest.raises(ConfigurationError, match=r"There is no feature view 'custommer'.") as error:
        written.online("custommer", [1])
    assert error.value.way_out == "name one of customer, shop"


def test_a_schema_that_does_not_hold_together_is_refused(toy, tmp_path):
    customer, shop = toy.views()
    with pytest.raises(
        ConfigurationError, match=r"there are two views 'customer'; the feature 'amount_eur' is there twice"
    ):
        FeatureStore("toy", (customer, customer), folder=tmp_path, registry=str(tmp_path / "registry.db"))
    with pytest.raises(ConfigurationError, match=r"the entity 'customer_id' is of two types"):
        other = replace(shop, entity="customer_id")
        FeatureStore("toy", (customer, other), folder=tmp_path, registry=str(tmp_path / "registry.db"))


def test_the_environment_names_the_online_store(monkeypatch, tmp_path):
    from modelyard.feature_store.objects import online_store

    monkeypatch.setenv("MODELYARD_ONLINE_STORE", "rediss://user:p%40ss@cache:7000/2")
    assert "p%40ss" not in str(online_store(tmp_path, "digest"))
    assert online_store(tmp_path, "digest")["schema_digest"] == "digest"
    for wrong in ("memcached://cache", "redis://", "redis://cache:port", "redis://cache/name"):
        monkeypatch.setenv("MODELYARD_ONLINE_STORE", wrong)
        with pytest.raises(ConfigurationError, match=r"not a Redis address"):
            online_store(tmp_path)
