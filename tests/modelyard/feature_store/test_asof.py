"""The point-in-time join, through Feast's own interface: against Feast's stores, and against a rule written plainly.

Feast's dask store drops an entity row whose candidates are all too new or too old, drops duplicates and sorts by
time; the rows that it keeps are compared with it, all of them with the plain rule. Rows of one entity and time are
left out there, because dask sorts them with an unstable sort; Feast's duckdb store has a rule for those too.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from modelyard.startup.feast import load_feast

load_feast()

import feast  # noqa: E402  # after its quick import
from feast.types import Array, Bool, Float32, Float64, Int64, String  # noqa: E402

START = datetime(2024, 1, 1, tzinfo=UTC)
TTL = 3
ASOF = "modelyard.feature_store.asof.AsofOfflineStore"
FEATURES = ["account:balance", "account:account_note", "place:visits", "person:score"]
quick = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


class Row(NamedTuple):
    """A row of a source, or a row asked for; seconds since START."""

    key: Any
    time: int
    created: int | None = None


@pytest.fixture(scope="module")
def repo(tmp_path_factory) -> Path:
    """One folder for the module; the Parquet files of the three views are exchanged for every example."""
    return tmp_path_factory.mktemp("repo")


@pytest.fixture(scope="module")
def stores(repo) -> dict[str, feast.FeatureStore]:
    write(repo, {"account": [], "place": [], "person": []})
    number = feast.Entity(name="account_id", join_keys=["account_id"], value_type=feast.ValueType.INT64)
    text = feast.Entity(name="city", join_keys=["city"], value_type=feast.ValueType.STRING)
    key, city = feast.Field(name="account_id", dtype=Int64), feast.Field(name="city", dtype=String)
    account = [key, feast.Field(name="balance", dtype=Int64), feast.Field(name="account_note", dtype=String)]
    views = [
        view(repo, "account", number, account, ttl=timedelta(seconds=TTL), created="created"),
        view(repo, "place", text, [city, feast.Field(name="visits", dtype=Int64)], ttl=timedelta(0)),
        view(
            repo, "person", number, [key, feast.Field(name="score", dtype=Int64)], ttl=timedelta(0), created="created"
        ),
    ]
    opened = {}
    for name, kind in (("ours", ASOF), ("dask", "dask"), ("duckdb", "duckdb")):
        opened[name] = feast.FeatureStore(
            config=feast.RepoConfig(
                project="toy",
                provider="local",
                registry=str(repo / f"{name}.db"),
                offline_store={"type": kind},
                online_store={"type": "sqlite", "path": str(repo / f"{name}_online.db")},
                entity_key_serialization_version=3,
            )
        )
        opened[name].apply([number, text, *views])
    return opened


def view(repo: Path, name: str, entity: feast.Entity, schema: list, *, ttl: timedelta, created: str = "") -> Any:
    source = feast.FileSource(
        name=name, path=str(repo / f"{name}.parquet"), timestamp_field="at", created_timestamp_column=created
    )
    return feast.FeatureView(name=name, entities=[entity], ttl=ttl, schema=schema, source=source)


def moments(seconds: Sequence[int | None]) -> pl.Series:
    values = [None if second is None else START + timedelta(seconds=second) for second in seconds]
    return pl.Series(values, dtype=pl.Datetime("us", "UTC"))


def write(repo: Path, sources: dict[str, list[Row]]) -> None:
    """Every feature's value is the number of its row in the file, so an answer says which row was used."""
    for name, rows in sources.items():
        numbers = range(len(rows))
        key, dtype = ("city", pl.String) if name == "place" else ("account_id", pl.Int64)
        columns: dict[str, Any] = {
            key: pl.Series([row.key for row in rows], dtype=dtype),
            "at": moments([row.time for row in rows]),
        }
        if name == "place":
            columns["visits"] = pl.Series(numbers, dtype=pl.Int64)
        else:
            columns["created"] = moments([row.created for row in rows])
            columns["balance" if name == "account" else "score"] = pl.Series(numbers, dtype=pl.Int64)
        if name == "account":
            columns["account_note"] = pl.Series([f"note {number}" for number in numbers], dtype=pl.String)
        new = repo / f"{name}.new"
        pl.DataFrame(columns).write_parquet(new)
        new.replace(repo / f"{name}.parquet")


def entity_frame(asked: list[tuple[Any, Any, int]]) -> pd.DataFrame:
    """Account, city, second; ``row`` numbers the rows."""
    return pd.DataFrame(
        {
            "row": range(len(asked)),
            "account_id": pd.array([account for account, _, _ in asked], dtype="Int64"),
            "city": pd.Series([city for _, city, _ in asked], dtype=object),
            "event_timestamp": pd.to_datetime([START + timedelta(seconds=s) for _, _, s in asked], utc=True),
        }
    )


def answers(store: feast.FeatureStore, asked: list[tuple[Any, Any, int]], **options: Any) -> pl.DataFrame:
    """``row`` and the features as the store gives them, in its order."""
    result: pd.DataFrame = store.get_historical_features(entity_frame(asked), FEATURES, **options).to_df()
    names = [
        "row",
        *(ref.replace(":", "__") if options.get("full_feature_names") else ref.split(":")[1] for ref in FEATURES),
    ]
    return pl.DataFrame(
        {
            name: pl.Series([None if pd.isna(value) else value for value in result[name]], dtype=pl.String)
            if "note" in name
            else pl.Series([None if pd.isna(value) else int(value) for value in result[name]], dtype=pl.Int64)
            for name in names
        }
    )


def rule(rows: list[Row], key: Any, moment: int, ttl: int | None, *, only_created: bool) -> int | None:
    """The rule of docs/feature-store.md, row by row."""
    best = None
    for number, row in enumerate(rows):
        too_old = ttl is not None and moment - row.time > ttl
        unknown_yet = only_created and (row.created is None or row.created > moment)
        if key is None or row.key != key or row.time > moment or too_old or unknown_yet:
            continue
        rank = (row.time, -1 if row.created is None else row.created, number)
        best = rank if best is None else max(best, rank)
    return None if best is None else best[2]


def expected(sources: dict[str, list[Row]], asked: list[tuple[Any, Any, int]], *, only_created: bool) -> pl.DataFrame:
    def numbers(name: str, column: int, ttl: int | None, created: bool) -> list[int | None]:
        return [rule(sources[name], row[column], row[2], ttl, only_created=created) for row in asked]

    balance = numbers("account", 0, TTL, only_created)
    schema = {"row": pl.Int64, "balance": pl.Int64, "account_note": pl.String, "visits": pl.Int64, "score": pl.Int64}
    columns = {
        "row": list(range(len(asked))),
        "balance": balance,
        "account_note": [None if number is None else f"note {number}" for number in balance],
        "visits": numbers("place", 1, None, created=False),
        "score": numbers("person", 0, None, only_created),
    }
    return pl.DataFrame(columns, schema=schema)


accounts, cities, seconds = st.integers(1, 2), st.sampled_from(["Ulm", ""]), st.integers(0, 8)


def with_nulls(keys: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | keys


def source_rows(keys: st.SearchStrategy, created: st.SearchStrategy, **options: Any) -> st.SearchStrategy:
    return st.lists(st.builds(Row, keys, seconds, created), max_size=10, **options)


def sources(*, nulls: bool, **options: Any) -> st.SearchStrategy:
    either: Callable = with_nulls if nulls else lambda keys: keys
    created = either(seconds)
    return st.fixed_dictionaries(
        {
            "account": source_rows(either(accounts), created, **options),
            "place": source_rows(either(cities), st.none(), **options),
            "person": source_rows(either(accounts), created, **options),
        }
    )


def asked_rows(*, nulls: bool, **options: Any) -> st.SearchStrategy:
    either: Callable = with_nulls if nulls else lambda keys: keys
    return st.lists(st.tuples(either(accounts), either(cities), seconds), min_size=1, max_size=8, **options)


TIES = [Row(1, 3, 6), Row(1, 3, 6), Row(1, 3, 4), Row(1, 3, None), Row(1, 2, 8)]
AT_THE_TTL = [(1, "Ulm", 3), (1, "Ulm", 3 + TTL), (1, "Ulm", 4 + TTL), (1, None, 2), (None, "Ulm", 3), (1, "Ulm", 3)]


@quick
@given(sources(nulls=True), asked_rows(nulls=True), st.booleans())
@example({"account": TIES, "place": [Row("Ulm", 3), Row("Ulm", 3)], "person": TIES}, AT_THE_TTL, False)
@example({"account": TIES, "place": [Row(None, 3), Row("", 3)], "person": TIES[::-1]}, AT_THE_TTL, True)
def test_every_row_keeps_its_place_and_gets_what_the_rule_says(repo, stores, sources, asked, only_created):
    write(repo, sources)
    found = answers(stores["ours"], asked, filter_by_created_timestamp=only_created)
    assert_frame_equal(found, expected(sources, asked, only_created=only_created))


@settings(quick, max_examples=12)
@given(
    sources(nulls=False, unique_by=lambda row: (row.key, row.time)),
    asked_rows(nulls=False, unique=True),
    st.booleans(),
    st.booleans(),
)
@example(
    {"account": [Row(1, 3, 3), Row(1, 9, 9)], "place": [Row("Ulm", 0)], "person": [Row(1, 0, 6)]},
    [(1, "Ulm", 3 + TTL), (1, "Ulm", 9), (2, "Köln", 9)],
    False,
    True,
)
def test_what_the_dask_store_keeps_is_the_same_here(repo, stores, sources, asked, only_created, full_names):
    write(repo, sources)
    options = {"filter_by_created_timestamp": only_created, "full_feature_names": full_names}
    ours, theirs = (answers(stores[name], asked, **options) for name in ("ours", "dask"))
    kept = ours.filter(pl.col("row").is_in(theirs["row"].to_list()))
    assert_frame_equal(kept, theirs.sort("row"))


@settings(quick, max_examples=12)
@given(
    sources(nulls=False, unique_by=(lambda row: (row.key, row.time, row.created))),
    asked_rows(nulls=False),
    st.booleans(),
)
@example(
    {"account": [Row(1, 3, 9), Row(1, 3, 4)], "place": [Row("Ulm", 3)], "person": [Row(2, 1, 2), Row(2, 1, 1)]},
    [(1, "Ulm", 9), (2, "Ulm", 3 + TTL), (2, "Ulm", 1), (2, "Ulm", 1)],
    False,
)
def test_all_rows_of_the_duckdb_store_are_the_same_here(repo, stores, sources, asked, only_created):
    """It keeps every entity row, and of rows with one time it takes the one created last."""
    write(repo, sources)
    ours, theirs = (
        answers(stores[name], asked, filter_by_created_timestamp=only_created) for name in ("ours", "duckdb")
    )
    assert_frame_equal(ours, theirs.sort("row"))


@quick
@given(sources(nulls=True), sources(nulls=True), asked_rows(nulls=True), seconds)
def test_rows_of_the_future_change_nothing_earlier(repo, stores, past, future, asked, cut):
    """The rows planted lie after ``cut``; every row asked for lies at or before it."""
    asked = [(account, city, min(second, cut)) for account, city, second in asked]
    write(repo, past)
    before = answers(stores["ours"], asked)
    planted = {
        name: rows + [row._replace(time=row.time + cut + 1) for row in future[name]] for name, rows in past.items()
    }
    write(repo, planted)
    assert_frame_equal(answers(stores["ours"], asked), before)


def test_the_ttl_ends_one_microsecond_after_it(repo, stores):
    write(repo, {"account": [Row(1, 0, 0)], "place": [], "person": []})
    asked = entity_frame([(1, "Ulm", TTL), (1, "Ulm", TTL)])
    asked["event_timestamp"] += pd.to_timedelta([0, 1], unit="us")
    found = stores["ours"].get_historical_features(asked, ["account:balance"]).to_arrow()
    assert found["balance"].to_pylist() == [0, None]


def test_moments_in_another_time_zone_or_without_one_are_the_same_moments(repo, stores):
    write(repo, {"account": [Row(1, 0, 0), Row(1, 3, 3)], "place": [], "person": []})
    asked = entity_frame([(1, "Ulm", 2), (1, "Ulm", 3)])
    times = asked["event_timestamp"]
    for same in (times.dt.tz_convert("Asia/Tokyo"), times.dt.tz_localize(None), times.astype("datetime64[ms, UTC]")):
        found = stores["ours"].get_historical_features(asked.assign(event_timestamp=same), ["account:balance"])
        assert found.to_df()["balance"].tolist() == [0, 1]


def test_integer_keys_that_pandas_made_floats_still_match(repo, stores):
    write(repo, {"account": [Row(1, 0, 0), Row(2, 0, 0)], "place": [], "person": []})
    asked = entity_frame([(1, "Ulm", 2)] * 4).assign(account_id=[2.0, float("nan"), 1.0, 1.5])
    found = stores["ours"].get_historical_features(asked, ["account:balance"]).to_arrow()
    assert found["balance"].to_pylist() == [1, None, 0, None]


def test_the_frame_belongs_to_the_caller(repo, stores):
    """pandas may write into what it gets, and the entity frame does not change with it."""
    write(repo, {"account": [Row(1, 0, 0)], "place": [], "person": []})
    asked = entity_frame([(1, "Ulm", 2), (1, "Ulm", 3)])
    before = asked.copy()
    found = stores["ours"].get_historical_features(asked, ["account:balance"]).to_df()
    assert list(found.columns) == [*asked.columns, "balance"]
    assert found["event_timestamp"].dtype == asked["event_timestamp"].dtype
    for name in ("row", "event_timestamp", "balance"):
        found.loc[0, name] = found.loc[1, name]
    pd.testing.assert_frame_equal(asked, before)


def test_the_frame_and_the_arrow_table_say_the_same_of_every_dtype(repo, stores):
    """``to_df`` takes a float's memory as it is, and what it gives can be written to."""
    columns = {
        "double": (Float64, [1.5, float("nan")]),
        "single": (Float32, pl.Series([0.25, -1.0], dtype=pl.Float32)),
        "gap": (Float64, [2.5, None]),
        "count": (Int64, [3, 4]),
        "flag": (Bool, [True, False]),
        "word": (String, ["Ulm", None]),
        "pair": (Array(Float64), [[1.0, 2.0], [3.0, 4.0]]),
        "price": (Float64, pl.Series(["1.50", "2.25"]).cast(pl.Decimal(10, 2))),
    }
    values = {name: column for name, (_, column) in columns.items()}
    pl.DataFrame({"account_id": [1, 2], "at": moments([0, 0])} | values).write_parquet(repo / "measured.parquet")
    number = feast.Entity(name="account_id", join_keys=["account_id"], value_type=feast.ValueType.INT64)
    schema = [
        feast.Field(name=name, dtype=dtype) for name, (dtype, _) in [("account_id", (Int64, [])), *columns.items()]
    ]
    stores["ours"].apply([number, view(repo, "measured", number, schema, ttl=timedelta(0))])
    unknown_and_too_early = [(2, "", 1), (9, "", 1), (1, "", 1), (1, "", -1)]
    for asked, n_null in (
        (unknown_and_too_early, [2, 2, 3, 2, 2, 3, 2, 2]),
        ([(1, "", 1), (2, "", 1)], [0, 0, 1, 0, 0, 1, 0, 0]),
    ):
        job = stores["ours"].get_historical_features(entity_frame(asked), [f"measured:{name}" for name in columns])
        table, frame = job.to_arrow(), job.to_df()
        assert [table[name].null_count for name in columns] == n_null
        expected = table.to_pandas()
        pd.testing.assert_frame_equal(frame, expected.set_axis(pd.RangeIndex(len(asked))))
        frame.loc[0, ["double", "single", "gap"]] = 7.0
        assert frame.loc[0, "single"] == 7.0


def test_renamed_keys_columns_and_views_are_those_of_the_dask_store(repo, stores):
    """A key under another name in the entity frame, and a source whose columns have other names."""
    rows = pl.DataFrame({"id": [1, 2], "at": moments([0, 3]), "height": [7, 8]})
    rows.write_parquet(repo / "renamed.parquet")
    path, mapping = str(repo / "renamed.parquet"), {"id": "account_id", "height": "size"}
    source = feast.FileSource(name="renamed", path=path, timestamp_field="at", field_mapping=mapping)
    number = feast.Entity(name="account_id", join_keys=["account_id"], value_type=feast.ValueType.INT64)
    schema = [feast.Field(name="account_id", dtype=Int64), feast.Field(name="size", dtype=Int64)]
    renamed = feast.FeatureView(name="renamed", entities=[number], schema=schema, source=source)
    asked = pd.DataFrame(
        {"payer": [1, 2], "event_timestamp": pd.to_datetime([START, START + timedelta(seconds=3)], utc=True)}
    )
    found = {}
    for name in ("ours", "dask"):
        stores[name].apply([renamed])
        alias = renamed.with_name("paid").with_join_key_map({"account_id": "payer"})
        service = feast.FeatureService(name="service", features=[alias])
        stores[name].apply([service])
        found[name] = stores[name].get_historical_features(asked, service, full_feature_names=True).to_df()
    assert found["ours"]["paid__size"].tolist() == [7, 8]
    pd.testing.assert_frame_equal(found["ours"], found["dask"], check_dtype=False)


def test_a_view_without_entity_holds_for_every_row(repo, stores):
    pl.DataFrame({"at": moments([0, 3]), "rate": [1, 2]}).write_parquet(repo / "rates.parquet")
    source = feast.FileSource(name="rates", path=str(repo / "rates.parquet"), timestamp_field="at")
    rates = feast.FeatureView(name="rates", schema=[feast.Field(name="rate", dtype=Int64)], source=source)
    stores["ours"].apply([rates])
    found = stores["ours"].get_historical_features(entity_frame([(1, "Ulm", 4), (None, None, 1)]), ["rates:rate"])
    assert found.to_arrow()["rate"].to_pylist() == [2, 1]


def test_feast_materialises_from_it_what_its_own_store_gives(repo, stores):
    rows = [Row(1, 3, 3), Row(2, 9, 9), Row(1, 5, 5), Row(2, 14, 14), Row(3, 0, 0)]
    write(repo, {"account": rows, "place": [Row("Ulm", 1)], "person": rows})
    read = {}
    for name in ("ours", "dask"):
        stores[name].materialize(
            START + timedelta(seconds=1), START + timedelta(seconds=10), disable_event_timestamp=False
        )
        read[name] = stores[name].get_online_features(
            FEATURES, [{"account_id": account, "city": "Ulm"} for account in (1, 2, 3)]
        )
    assert read["ours"].to_dict() == read["dask"].to_dict()
    assert read["ours"].to_dict()["balance"] == [2, 1, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"account_id": ["1"]}, "key 'account_id' is String in the entity frame and Int64 in the source"),
        ({"balance": [0]}, "columns \\['balance'\\] would be there twice"),
        ({"account_id": None}, "account_id"),
        ({"event_timestamp": ["2024-01-01"]}, "not timestamps"),
    ],
)
def test_a_wrong_entity_frame_says_what_is_wrong(repo, stores, change, message):
    write(repo, {"account": [Row(1, 0, 0)], "place": [], "person": []})
    asked = entity_frame([(1, "Ulm", 1)])
    asked = asked.drop(columns=[name for name, values in change.items() if values is None])
    asked = asked.assign(**{name: values for name, values in change.items() if values is not None})
    with pytest.raises(Exception, match=message):
        stores["ours"].get_historical_features(pa.Table.from_pandas(asked), ["account:balance"]).to_arrow()
