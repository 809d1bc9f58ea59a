"""What a project hands over is checked once, and each mistake has its message."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from modelyard.errors import DataContractError
from modelyard.feature_store.frames import checked_frames
from modelyard.feature_store.schema import Feature, FeatureView

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
FEATURES = (
    Feature(name="n_visits", dtype="int64", description="Visits so far."),
    Feature(name="amount", dtype="float64", description="Amount so far.", unit="EUR"),
    Feature(name="last_steps", dtype="float32_list", description="The last two steps."),
)
VIEW = FeatureView(
    name="customer",
    entity="customer_id",
    entity_dtype="int64",
    ttl=timedelta(days=1),
    features=FEATURES,
    description="-",
)


def frame(**columns) -> pl.DataFrame:
    default = {
        "customer_id": [2, 1, 1],
        "event_time": pl.Series([NOON, NOON, NOON - timedelta(hours=1)], dtype=pl.Datetime("us", "UTC")),
        "n_visits": [1, 2, 3],
        "amount": [1.0, float("nan"), None],
        "last_steps": [[0.0, 1.0], [2.0, 3.0], None],
    }
    return pl.DataFrame(default | columns)


def checked(table: pl.DataFrame) -> pl.DataFrame:
    return checked_frames([VIEW], {"customer": table})["customer"]


def test_rows_are_sorted_and_columns_take_the_types_of_the_schema():
    found = checked(frame(n_visits=pl.Series([1, 2, 3], dtype=pl.UInt8)).select(pl.all().reverse()))
    assert found.columns == ["customer_id", "event_time", "n_visits", "amount", "last_steps"]
    assert found.dtypes[2:] == [pl.Int64, pl.Float64, pl.List(pl.Float32)]
    assert found.select("customer_id", "n_visits").rows() == [(1, 3), (1, 2), (2, 1)]


def test_rows_of_one_entity_and_time_keep_their_order():
    found = checked(frame(customer_id=[1, 1, 1], event_time=frame()["event_time"].clear().extend_constant(NOON, 3)))
    assert found["n_visits"].to_list() == [1, 2, 3]


def test_not_a_number_is_a_missing_value():
    assert checked(frame())["amount"].to_list() == [None, None, 1.0]


def test_arrays_and_times_elsewhere_are_the_same_values():
    steps = pl.Series([[0.0, 1.0], [2.0, 3.0], None], dtype=pl.Array(pl.Float64, 2))
    elsewhere = frame()["event_time"].dt.convert_time_zone("Asia/Tokyo").cast(pl.Datetime("ms", "Asia/Tokyo"))
    assert_frame_equal(checked(frame(last_steps=steps, event_time=elsewhere)), checked(frame()))


@pytest.mark.parametrize(
    ("columns", "message", "where"),
    [
        ({"n_visits": ["1", "2", "3"]}, "The column holds String, the schema says Int64.", "column 'n_visits'"),
        ({"n_visits": [1.5, 2.0, 3.0]}, "The column holds Float64, the schema says Int64.", "column 'n_visits'"),
        ({"customer_id": ["a", "b", "c"]}, "The column holds String, the schema says Int64.", "column 'customer_id'"),
        ({"customer_id": [1, None, None]}, "2 rows have no value.", "column 'customer_id'"),
        ({"event_time": [NOON, None, NOON]}, "1 rows have no value.", "column 'event_time'"),
        ({"event_time": [NOON.replace(tzinfo=None)] * 3}, "The column holds Datetime", "column 'event_time'"),
        ({"event_time": ["2024-01-01"] * 3}, "The column holds String, the schema says Datetime", "'event_time'"),
        ({"last_steps": [[0.0], [1.0, 2.0], None]}, r"Lists have different lengths: \[1, 2\].", "column 'last_steps'"),
        ({"last_steps": [[0.0, None], [1.0, 2.0], None]}, "Lists have missing elements.", "column 'last_steps'"),
        ({"last_steps": [1.0, 2.0, 3.0]}, "The column holds Float64, the schema says List", "column 'last_steps'"),
        (
            {"customer_id": pl.Series([2**63, 1, 1], dtype=pl.UInt64)},
            "Values do not fit into Int64.",
            "column 'customer_id'",
        ),
        ({"colour": ["red"] * 3}, "A frame of features has unknown colour.", "feature view 'customer'"),
    ],
)
def test_each_mistake_has_its_message(columns, message, where):
    with pytest.raises(DataContractError, match=message) as error:
        checked(frame(**columns))
    assert where in error.value.where
    assert error.value.way_out


def test_a_missing_column_is_named():
    with pytest.raises(DataContractError, match=r"A frame of features lacks amount, n_visits."):
        checked(frame().drop("n_visits", "amount"))


def test_missing_and_unknown_views_are_named():
    with pytest.raises(DataContractError, match=r"The feature views are none, not customer."):
        checked_frames([VIEW], {})
    with pytest.raises(DataContractError, match=r"The feature views are customer, terminal, not customer."):
        checked_frames([VIEW], {"customer": frame(), "terminal": frame()})
