"""Series and records: what is regular is taken, what is not is refused with the way out, and nothing looks ahead."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.own_data.format import TableFormat
from pipelines.climate_pattern_recognition import sources
from pipelines.climate_pattern_recognition.data import CONTRACT, IngestParameters, expectations, ingest, records_of
from pipelines.climate_pattern_recognition.sources import read_psl
from tests.mutations import assert_every_mutation_is_answered


def months(n=240, begin=1980):
    times = [datetime(begin + k // 12, k % 12 + 1, 1, tzinfo=UTC) for k in range(n)]
    values = [round(float(np.sin(k / 7)), 3) for k in range(n)]
    return pl.DataFrame({"event_time": times, "first_index": values})


def own(path, table, **changes):
    table.with_columns(pl.col("event_time").dt.strftime("%Y-%m-%d")).write_csv(path)
    return ingest(IngestParameters(source="own", path=str(path), leads=(1, 3), **changes))


def test_every_record_is_an_issue_time_and_what_came_lead_steps_later(tmp_path):
    table = months()
    records = own(tmp_path / "nino.csv", table)
    assert set(records.columns) - {"parse_errors"} <= {column.name for column in CONTRACT.columns}
    assert records["forecast_id"].n_unique() == records.height == 239 + 237
    value = dict(zip(table["event_time"], table["first_index"], strict=True))
    for row in records.sample(50, seed=0).iter_rows(named=True):
        assert row["target_index"] == value[row["target_at"]]
        assert row["first_index"] == value[row["event_time"]]
        later = 12 * row["target_at"].year + row["target_at"].month
        assert later - 12 * row["event_time"].year - row["event_time"].month == row["lead_count"]


def test_no_outcome_of_a_later_split_is_in_an_earlier_one(tmp_path):
    records = own(tmp_path / "nino.csv", months())
    assert set(records["split"]) == {"train", "valid", "test"}
    bounds = records.group_by("split").agg(
        pl.col("target_at").min().alias("begin"), pl.col("target_at").max().alias("end")
    )
    spans = {row["split"]: row for row in bounds.iter_rows(named=True)}
    assert spans["train"]["end"] < spans["valid"]["begin"] <= spans["valid"]["end"] < spans["test"]["begin"]


def test_unsorted_rows_change_nothing(tmp_path):
    table = months()
    mixed = table.sample(fraction=1, shuffle=True, seed=1)
    assert own(tmp_path / "a.csv", mixed).equals(own(tmp_path / "a.csv", table))


def test_copies_and_rows_without_a_time_are_rejected_with_their_reason_and_change_no_forecast(tmp_path):
    table = months()
    untimed = table[:2].with_columns(pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias("event_time"))
    records = own(tmp_path / "a.csv", pl.concat([untimed, table, table[10:13]]))
    is_rejected = pl.col("parse_errors").is_not_null()
    reasons = records.filter(is_rejected)["parse_errors"].to_list()
    copies = [f"event_time: repeats the row of 1980-{month}-01" for month in (11, 12)]
    assert sorted(reasons) == ["event_time: is missing"] * 2 + [*copies, "event_time: repeats the row of 1981-01-01"]
    assert records.filter(is_rejected)["target_at"].null_count() == len(reasons)
    assert records.filter(~is_rejected).equals(own(tmp_path / "a.csv", table))


def test_months_of_the_future_are_rejected_and_move_no_split(tmp_path):
    table = months()
    future = table.tail(3).with_columns(pl.col("event_time").dt.offset_by("100y"))
    records = own(tmp_path / "a.csv", pl.concat([table, future]))
    is_rejected = pl.col("parse_errors").is_not_null()
    rejected = records.filter(is_rejected)
    assert rejected.height == 3
    assert rejected["parse_errors"].str.contains("lies in the future").all()
    assert records.filter(~is_rejected).equals(own(tmp_path / "a.csv", table))


def test_two_values_for_one_month_are_refused_by_name(tmp_path):
    twice = pl.concat([months(), months()[30:31].with_columns(first_index=pl.lit(9.5))])
    with pytest.raises(DataContractError, match=r"different values for 1 steps, first at 1982-07-01"):
        own(tmp_path / "a.csv", twice)


def test_a_gap_and_a_missing_code_lose_only_the_forecasts_that_need_them(tmp_path):
    table = months()
    gap = own(tmp_path / "a.csv", pl.concat([table[:100], table[101:]]))
    coded = table.with_columns(
        pl.when(pl.int_range(pl.len()) == 100).then(-99.9).otherwise("first_index").alias("first_index")
    )
    assert own(tmp_path / "a.csv", coded).equals(gap)
    missing = table["event_time"][100]
    assert gap.filter((pl.col("event_time") == missing) | (pl.col("target_at") == missing)).is_empty()
    assert gap.height == 239 + 237 - 4


def test_a_missing_code_that_nobody_declared_is_rejected_by_an_expectation(tmp_path):
    table = months().with_columns(
        pl.when(pl.int_range(pl.len()) == 100).then(-9.9).otherwise("first_index").alias("first_index")
    )
    records = own(tmp_path / "a.csv", table)
    rule = next(each for each in expectations(IngestParameters()) if getattr(each, "column", "") == "target_index")
    outside = records.filter(~pl.col("target_index").is_between(rule.min_value, rule.max_value))
    assert outside["target_at"].unique().to_list() == [table["event_time"][100]]


def test_an_unreadable_cell_keeps_its_rows_with_the_reason(tmp_path):
    path = tmp_path / "a.csv"
    text = months().with_columns(pl.col("event_time").dt.strftime("%Y-%m-%d")).write_csv().splitlines()
    text[101] = text[101].split(",")[0] + ",warm"
    path.write_text("\n".join(text))
    records = ingest(IngestParameters(source="own", path=str(path), leads=(1, 3)))
    broken = records.filter(pl.col("parse_errors").is_not_null())
    assert broken.height == 4
    assert broken["parse_errors"].str.contains("warm").all()
    assert broken["parse_errors"].str.starts_with("at the time that is forecast").sum() == 2


@pytest.mark.parametrize(("days", "oscillation"), [(7, "enso"), (7, "mjo"), (1, "enso")])
def test_steps_that_are_not_the_oscillations_are_refused(tmp_path, days, oscillation):
    begin = datetime(2000, 1, 1, tzinfo=UTC)
    table = pl.DataFrame({"event_time": [begin + timedelta(days=days * k) for k in range(200)]})
    with pytest.raises(DataContractError, match=rf"{days} days apart .* one row for each"):
        own(tmp_path / "a.csv", table.with_columns(first_index=pl.lit(0.1)), oscillation=oscillation)


def test_a_series_that_ends_before_the_test_is_refused():
    series, begins = months(60).with_columns(series=pl.lit("a")), datetime(1995, 1, 1, tzinfo=UTC)
    with pytest.raises(DataContractError, match=r"1980-02-01 to 1984-12-01, none is of the split valid and test"):
        records_of(series, "enso", IngestParameters(leads=(1, 2)), "here", begins)


def test_a_river_level_in_its_own_unit_is_no_anomaly_and_keeps_the_contract(tmp_path):
    levels = months().select("event_time", first_index=300 + 80 * pl.col("first_index"))
    changes = {"oscillation": "monthly", "name": "Elbe at Dresden, cm", "min_value": 0.0}
    records = own(tmp_path / "a.csv", levels, **changes)
    assert records["series"].unique().to_list() == ["Elbe at Dresden, cm"]
    rules = expectations(IngestParameters(source="own", **changes))
    assert {rule.column: rule.min_value for rule in rules if getattr(rule, "max_value", 1) is None} == dict.fromkeys(
        ("first_index", "second_index", "target_index", "target_second_index"), 0
    )
    assert not any(type(rule).__name__ == "ExpectColumnMeanToBeBetween" for rule in rules)
    with pytest.raises(ValueError, match="below max_value"):
        IngestParameters(min_value=3.0, max_value=1.0)


def test_weeks_are_steps_of_a_weekly_series(tmp_path):
    begin = datetime(2000, 1, 5, tzinfo=UTC)  # a Wednesday
    times = [begin + timedelta(days=7 * k) for k in range(200)]
    table = pl.DataFrame({"event_time": times, "first_index": [float(k) for k in range(200)]})
    records = own(tmp_path / "a.csv", table, oscillation="weekly")
    assert set(records["event_time"].dt.weekday()) == {1}
    assert (records["target_index"] - records["first_index"]).to_list() == records["lead_count"].to_list()


@pytest.mark.parametrize("offset", ["", " 00:00", "T00:00:00Z", "T00:00:00+14:00", "T00:00:00-10:00"])
def test_a_date_is_the_one_that_is_written(tmp_path, offset):
    table = months(60)
    written = table.with_columns(pl.col("event_time").dt.strftime("%Y-%m-%d") + offset)
    written.write_csv(tmp_path / "a.csv")
    records = ingest(IngestParameters(source="own", path=str(tmp_path / "a.csv"), leads=(1, 3)))
    assert records.equals(own(tmp_path / "a.csv", table))


def test_a_river_level_as_a_german_office_writes_it(tmp_path):
    (tmp_path / "a.csv").write_text(
        "datum;wasserstand\n" + "\n".join(f"0{n % 9 + 1}.01.{1990 + n // 9};{n},5" for n in range(90))
    )
    params = IngestParameters(
        source="own",
        path=str(tmp_path / "a.csv"),
        oscillation="daily",
        columns={"event_time": "datum", "first_index": "wasserstand"},
        format=TableFormat(date_format="%d.%m.%Y", decimal=","),
        leads=(1,),
    )
    records = ingest(params)
    assert records["parse_errors"].null_count() == records.height == 80
    assert records["first_index"][:3].to_list() == [0.5, 1.5, 2.5]


def test_one_value_is_no_series(tmp_path):
    with pytest.raises(DataContractError, match="1 rows at 1 times"):
        own(tmp_path / "a.csv", months(1))


def test_no_file_is_one_message():
    with pytest.raises(ConfigurationError, match="No own data"):
        ingest(IngestParameters(source="own"))


@pytest.mark.parametrize(("leads", "message"), [((0, 3), "greater than or equal to 1"), ((3, 3), "different numbers")])
def test_leads_that_look_back_or_come_twice_are_refused(leads, message):
    with pytest.raises(ValueError, match=message):
        IngestParameters(leads=leads)


def test_a_psl_file_has_its_own_missing_code(tmp_path):
    path = tmp_path / "qbo.data"
    path.write_text(" 2001 2002\n2001" + " -29.60" * 12 + "\n2002" + " 1.5" * 11 + " -9.90\n -9.90\n QBO\n")
    table = read_psl(path)
    assert table["value"].to_list() == [-29.6] * 12 + [1.5] * 11 + [None]
    assert table["event_time"][23] == datetime(2002, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "2001 2002\n2001 1 2\n", "2001 2001\n2001" + " x" * 12 + "\n-9\n"])
def test_a_damaged_psl_file_is_refused(tmp_path, text):
    (tmp_path / "a.data").write_text(text)
    with pytest.raises(DataContractError, match=r"PSL's format|twelve months"):
        read_psl(tmp_path / "a.data")


def test_the_slots_of_a_netcdf_file_without_time_or_value_are_no_days(tmp_path, monkeypatch):
    import h5py

    with h5py.File(tmp_path / "RMM1.observed.interannual.1974-06.2017-07.nc", "w") as file:
        file["time"], file["rmm1"] = [0.0, np.nan, 2.0, 3.0], [1.0, np.nan, 2.0, np.nan]
        file["rmm2"] = [0.5, np.nan, 0.6, 0.7]
    with h5py.File(tmp_path / "GMAO-GEOS-V2p1.RMM1.nc", "w") as file:
        file["S"], file["L"] = np.array([14245.0], np.float32), np.array([0.5, 1.5], np.float32)
        file["RMM1"] = np.array([[[1.0, 1e15], [2.0, 1e15]]], np.float32)
    monkeypatch.setattr(sources, "fetch", lambda name: tmp_path)
    days = sources.read_mjo()
    assert days["event_time"].to_list() == [datetime(1974, 6, day, tzinfo=UTC) for day in (3, 5)]
    assert days["second_index"].to_list() == [0.5, 0.6]
    hindcast = sources.read_hindcast()
    assert hindcast.rows() == [(datetime(1998, 12, 31, tzinfo=UTC), 1, 1.5)]


def test_a_damaged_netcdf_file_is_one_message(tmp_path, monkeypatch):
    (tmp_path / "RMM1.observed.interannual.1974-06.2017-07.nc").write_bytes(b"no netCDF")
    monkeypatch.setattr(sources, "fetch", lambda name: tmp_path)
    with pytest.raises(DataContractError, match="cannot be read as netCDF-4"):
        sources.read_mjo()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rmm1": np.arange(3.0)}, "rmm1 has 3 values along day, others have 4"),
        ({"rmm1": np.ones((4, 2))}, "rmm1 has 2 axes instead of 1"),
        ({"rmm1": 1.0}, "rmm1 has 0 axes instead of 1"),
        ({"rmm1": None}, "rmm1"),
        ({"rmm1": {"inner": [1.0]}}, "size"),
        ({"rmm1": ["a", "b", "c", "d"]}, "string|float"),
        ({"rmm1": (60_000_000,)}, "rmm1 would have more than 50,000,000 values"),
        ({"time": [1e300, 0, 0, 0]}, "days that no calendar has"),
    ],
)
def test_a_netcdf_file_of_another_shape_is_one_message(tmp_path, monkeypatch, changes, message):
    # Not its bytes, some of which crash HDF5: they are compared with a digest before it sees them.
    import h5py

    with h5py.File(tmp_path / "RMM1.observed.interannual.1974-06.2017-07.nc", "w") as file:
        for name, value in (dict.fromkeys(("time", "rmm1", "rmm2"), np.arange(4.0)) | changes).items():
            if isinstance(value, dict):
                file.create_group(name)["inner"] = value["inner"]
            elif isinstance(value, tuple):
                file.create_dataset(name, shape=value, dtype="f8", chunks=True)
            elif value is not None:
                file[name] = value
    monkeypatch.setattr(sources, "fetch", lambda name: tmp_path)
    with pytest.raises(DataContractError, match=message):
        sources.read_mjo()


def test_every_mutation_of_an_own_series_is_answered(tmp_path):
    text = months(60).with_columns(pl.col("event_time").dt.strftime("%Y-%m-%d")).write_csv()
    words = [
        b"\n",
        b",",
        b'"',
        b"1e308",
        b"-999",
        b"nan",
        b"0001-01-01",
        b"9999-12-31",
        b"2999-01-01",
        b"1980-01",
        b"\xff",
    ]

    def read(path):
        records = ingest(IngestParameters(source="own", path=str(path), leads=(1, 3)))
        assert records.height

    assert_every_mutation_is_answered(read, tmp_path / "own.csv", [text.encode()], words=words, at_most=100)


MONTHS = [f"{year}-{month:02}" for year in range(1990, 2008) for month in range(1, 13)]


def carbon_dioxide_file(folder, values) -> None:
    """As published: a header of six names over rows of seven fields."""
    rows = [f"{month},0,{value},0,-01,-9.99,-0.99" for month, value in zip(MONTHS, values, strict=True)]
    (folder / "co2-mm-mlo.csv").write_text("\n".join(["Date,Decimal Date,Average,Interpolated,Trend,Days", *rows]))


def temperature_file(folder, values) -> None:
    rows = [
        f"{name},{month},{value}" for month, value in zip(MONTHS, values, strict=True) for name in ("gcag", "GISTEMP")
    ]
    (folder / "monthly.csv").write_text("\n".join(["Source,Year,Mean", *rows]))


SERIES = {
    "read_carbon_dioxide": (carbon_dioxide_file, 350.0),
    "read_temperature": (temperature_file, 0.0),
}


@pytest.fixture(params=SERIES)
def rising(request, tmp_path, monkeypatch):
    """Reads a series of months that rises by one a year, with a season and one surprise."""
    write, begin = SERIES[request.param]
    monkeypatch.setattr(sources, "fetch", lambda name: tmp_path)

    def read(surprises):
        values = [begin + number / 12 + 3 * math.sin(number * math.pi / 6) for number in range(len(MONTHS))]
        for place, surprise in surprises.items():
            values[place] += surprise
        write(tmp_path, values)
        return getattr(sources, request.param)()

    return read


def test_an_index_says_what_the_decade_before_does_not(rising):
    usual = rising({})
    assert usual.columns == ["event_time", "first_index", "series"]
    assert usual["event_time"][-1] == datetime(2007, 12, 1, tzinfo=UTC)
    yearly = usual["first_index"].to_numpy()
    assert yearly[12:] == pytest.approx(yearly[:-12])  # a steady rise leaves nothing but the season


def test_the_reference_of_a_month_is_known_a_year_before(rising):
    """So that up to twelve months ahead the error of the index is the error of the series itself."""
    usual, other = rising({}), rising({len(MONTHS) - 13: 1.0, len(MONTHS) - 1: 0.5})
    change = other["first_index"].to_numpy() - usual["first_index"].to_numpy()
    assert change[:-13] == pytest.approx(0)
    assert change[-13] == pytest.approx(1.0)
    assert change[-12:-1] == pytest.approx(0)
    assert change[-1] < 0.5  # the surprise of the year before is in the last month's reference only


@pytest.mark.parametrize("damage", ["", "1990-01,0,350,0,1", "a month is missing", "a month is there twice"])
def test_months_that_are_damaged_are_refused(damage, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "fetch", lambda name: tmp_path)
    carbon_dioxide_file(tmp_path, [350.0] * len(MONTHS))
    path = tmp_path / "co2-mm-mlo.csv"
    lines = path.read_text().splitlines()
    if damage.startswith("a month"):
        lines = lines[:50] + ([lines[49]] if "twice" in damage else []) + lines[51 if "missing" in damage else 50 :]
    else:
        lines = [lines[0], damage]
    path.write_text("\n".join(lines))
    with pytest.raises(DataContractError, match=r"fields|one row for each month|cannot be read") as refused:
        sources.read_carbon_dioxide()
    assert str(path) in refused.value.where
