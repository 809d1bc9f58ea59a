"""The public files: tables of months, and the netCDF-4 files of the Madden-Julian Oscillation.

Carbon dioxide and global temperature rise, so their index says how far a month is from what the decade before lets
expect. All of that decade is known a year ahead: up to twelve months ahead, the error of a forecast of the index is the
error of a forecast of the concentration or of the temperature itself.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.public_data.fetch import fetch
from modelyard.tasks.series.seasons import anomaly
from pipelines.climate_pattern_recognition.oscillations import COVARIATES

_ENSO_TEST_BEGINS = datetime(1995, 1, 1, tzinfo=UTC)

_CO2_FIELDS = ("month", "decimal_date", "co2_ppm", "deseasonalised_ppm", "n_days", "spread_ppm", "uncertainty_ppm")
"""The file's own header names six of its seven fields."""

_NINO34 = "nina34"
_PSL_FILES = {"nino3_index": "nina3", "nino4_index": "nina4"} | {
    name: name.removesuffix("_index") for name in COVARIATES[2:]
}
"""Column to file; PSL calls the Niño regions "nina". Not used: oni and mei, means over months that look ahead."""

_MOST_VALUES = 50_000_000
_H5PY_ERRORS = (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError, MemoryError)
"""What h5py lets through when a file is damaged."""

_OBSERVED, _HINDCAST = "RMM1.observed.interannual.1974-06.2017-07.nc", "GMAO-GEOS-V2p1.RMM1.nc"


def read_enso() -> pl.DataFrame:
    """Reads the months of ``psl_climate_indices``, 1950 to 2015.

    Every index is an anomaly from the mean of its calendar month before the test begins, the covariates in units of
    their spread, so that nothing of the test is in them.

    Returns:
        ``series``, ``event_time``, ``first_index`` (Niño 3.4, °C) and the covariates.
    """
    folder = fetch("psl_climate_indices")
    months = read_psl(folder / f"{_NINO34}.data").rename({"value": "first_index"})
    for name, stem in _PSL_FILES.items():
        months = months.join(read_psl(folder / f"{stem}.data").rename({"value": name}), on="event_time", how="left")
    is_before, month = pl.col("event_time") < _ENSO_TEST_BEGINS, pl.col("event_time").dt.month()
    anomalies = months.with_columns(
        anomaly(name, month, is_before) for name in ("first_index", *_PSL_FILES)
    ).with_columns(pl.col(name) / pl.col(name).filter(is_before).std() for name in _PSL_FILES)
    return anomalies.filter(pl.col("first_index").is_not_null()).with_columns(pl.lit("nino34").alias("series"))


def read_psl(path: Path) -> pl.DataFrame:
    """Reads one file in PSL's format: first and last year, a line of twelve months for each, the missing code, a note.

    Returns:
        ``event_time`` (first of the month, UTC) and ``value``, null where the file has its own missing code. The codes
        differ from file to file; one threshold for all would delete real values of the QBO.

    Raises:
        DataContractError: The file does not have this form.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        first, last = (int(word) for word in lines[0].split())
        table = [line.split() for line in lines[1 : last - first + 2]]
        years = [int(row[0]) for row in table]
        numbers = [[float(word) for word in row[1:13]] for row in table]
        code = float(lines[last - first + 2].split()[0])
    except (ValueError, IndexError) as error:
        raise DataContractError(
            f"The file is not in PSL's format: {error}.", where=str(path), way_out="fetch the data set again"
        ) from error
    if years != list(range(first, last + 1)) or any(len(row) != 12 for row in numbers):
        raise DataContractError(
            f"The file does not have twelve months for each of the years {first} to {last}.",
            where=str(path),
            way_out="fetch the data set again",
        )
    times = [datetime(year, month, 1, tzinfo=UTC) for year in years for month in range(1, 13)]
    values = [None if math.isclose(value, code, abs_tol=1e-6) else value for row in numbers for value in row]
    return pl.DataFrame(
        {"event_time": times, "value": values}, schema={"event_time": pl.Datetime("us", "UTC"), "value": pl.Float64}
    )


def read_mjo() -> pl.DataFrame:
    """Reads the days of ``mjo_rmm``, 1974 to 2017.

    Returns:
        ``series``, ``event_time``, ``first_index`` (RMM1), ``second_index`` (RMM2). The slots without a time or a value
        (the satellite gap of 1978) are left out.
    """
    arrays = _netcdf(fetch("mjo_rmm") / _OBSERVED, {"time": ("day",), "rmm1": ("day",), "rmm2": ("day",)})
    is_known = np.isfinite(arrays["time"]) & np.isfinite(arrays["rmm1"]) & np.isfinite(arrays["rmm2"])
    return pl.DataFrame(
        {
            "event_time": _times(arrays["time"][is_known], datetime(1974, 6, 3, tzinfo=UTC)),
            "first_index": arrays["rmm1"][is_known],
            "second_index": arrays["rmm2"][is_known],
        }
    ).with_columns(pl.lit("rmm").alias("series"))


def read_carbon_dioxide() -> pl.DataFrame:
    """Reads the months of ``core_co2_ppm`` at Mauna Loa, 1969 to 2024; eleven years before are the first one's decade.

    Returns:
        ``series``, ``event_time``, ``first_index``: growth since the same month of the year before, less the mean
        yearly growth of the decade before that, ppm.
    """
    path = fetch("core_co2_ppm") / "co2-mm-mlo.csv"
    ppm = pl.col("co2_ppm")
    months = _months(path, _CO2_FIELDS).with_columns(pl.when(ppm > 0).then(ppm))
    a_year_ago = ppm.shift(12)
    index = (ppm - a_year_ago) - (a_year_ago - ppm.shift(132)) / 10
    return _from_the_first_known(months.select("event_time", index.alias("first_index")), "mauna_loa")


def read_temperature() -> pl.DataFrame:
    """Reads the months of ``core_global_temp``, NASA's GISTEMP, 1890 to 2023.

    Returns:
        ``series``, ``event_time``, ``first_index``: difference from the mean of the ten years that ended a year before,
        °C, so that the reference period of the published anomalies does not matter.
    """
    path = fetch("core_global_temp") / "monthly.csv"
    months = _months(path, ("source", "month", "anomaly_c"), pl.col("source") == "GISTEMP")
    anomaly = pl.col("anomaly_c")
    index = anomaly - anomaly.shift(12).rolling_mean(120)
    return _from_the_first_known(months.select("event_time", index.alias("first_index")), "gistemp")


def _months(path: Path, fields: tuple[str, ...], rows: pl.Expr | None = None) -> pl.DataFrame:
    """Reads a CSV file with a field ``month``, whose own header is not read, in the order of time.

    Raises:
        DataContractError: It has other fields, or a month is missing, there twice or not of the form 1958-03.
    """

    def refused(found: str) -> DataContractError:
        return DataContractError(
            found, where=str(path), way_out="kedro data verify --all, and fetch the data set again"
        )

    try:
        table = pl.read_csv(path, has_header=False, skip_rows=1)
    except pl.exceptions.PolarsError as error:
        raise refused(f"The file cannot be read as CSV: {error}") from error
    if table.width != len(fields):
        raise refused(f"The file has {table.width} fields in a row instead of {len(fields)}.")
    table.columns = list(fields)
    chosen = table if rows is None else table.filter(rows)
    times = chosen.with_columns(
        pl.col("month").str.to_datetime("%Y-%m", strict=False, time_unit="us", time_zone="UTC").alias("event_time")
    ).sort("event_time")
    steps = times["event_time"].dt.year().cast(pl.Int64) * 12 + times["event_time"].dt.month()
    if times.is_empty() or times["event_time"].null_count() or not (steps.diff().drop_nulls() == 1).all():
        raise refused("The file does not have one row for each month.")
    return times


def _from_the_first_known(months: pl.DataFrame, series: str) -> pl.DataFrame:
    """Returns the months without the years that only the first values' decade needs, named."""
    is_known = pl.col("first_index").is_not_null()
    return months.filter(is_known.cum_max()).with_columns(pl.lit(series).alias("series"))


def read_hindcast() -> pl.DataFrame:
    """Reads NASA's dynamical forecasts of RMM1: the mean of the four members of GMAO-GEOS-V2p1.

    A forecast that starts at midnight has seen the day before, which is its issue time here: its first day is lead 1.
    With that convention it has the skill that the catalogue's entry states.

    Returns:
        ``event_time``, ``lead_count``, ``dynamical_index``.
    """
    dimensions = {"S": ("start",), "L": ("lead",), "RMM1": ("start", "member", "lead")}
    arrays = _netcdf(fetch("mjo_rmm") / _HINDCAST, dimensions)
    mean = arrays["RMM1"].mean(axis=1)
    issued = _times(arrays["S"] - 1, datetime(1960, 1, 1, tzinfo=UTC))
    leads = np.rint(arrays["L"] + 0.5).astype(np.int64)
    return pl.DataFrame(
        {
            "event_time": [time for time in issued for _ in leads],
            "lead_count": np.tile(leads, len(issued)),
            "dynamical_index": mean.reshape(-1),
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC")},
    ).filter(pl.col("dynamical_index").is_finite() & (pl.col("dynamical_index").abs() < 100))


def _netcdf(path: Path, dimensions: Mapping[str, tuple[str, ...]]) -> dict[str, NDArray[np.float64]]:
    """Returns variables of a netCDF-4 file, which is an HDF5 file, as numbers.

    Args:
        path: The file.
        dimensions: Variable to names for its axes; axes of one name are equally long in all variables.

    Raises:
        ConfigurationError: h5py is not installed.
        DataContractError: The file is damaged, or has not these variables.
    """
    try:
        import h5py
    except ImportError as error:
        raise ConfigurationError(
            "The package h5py, which reads the files of this data set, is not installed.",
            where="climate_pattern_recognition.ingest.dataset: mjo_rmm",
            way_out="install the project's requirements, or choose dataset: psl_climate_indices",
        ) from error
    try:
        with h5py.File(path, "r") as file:
            # A damaged header may declare more values than any machine holds.
            if too_large := [name for name in dimensions if file[name].size > _MOST_VALUES]:
                raise ValueError(f"{', '.join(too_large)} would have more than {_MOST_VALUES:,} values")
            arrays = {name: np.asarray(file[name][...], dtype=np.float64) for name in dimensions}
        lengths: dict[str, int] = {}
        for name, axes in dimensions.items():
            if arrays[name].ndim != len(axes):
                raise ValueError(f"{name} has {arrays[name].ndim} axes instead of {len(axes)}")
            for axis, length in zip(axes, arrays[name].shape, strict=True):
                if lengths.setdefault(axis, length) != length:
                    raise ValueError(f"{name} has {length} values along {axis}, others have {lengths[axis]}")
    except _H5PY_ERRORS as error:
        raise DataContractError(
            f"The file cannot be read as netCDF-4: {error}.", where=str(path), way_out="kedro data verify mjo_rmm"
        ) from error
    return arrays


def _times(days: NDArray[np.float64], origin: datetime) -> list[datetime]:
    try:
        return [origin + timedelta(days=round(day)) for day in days.tolist()]
    except (OverflowError, ValueError) as error:
        raise DataContractError(
            "The file has days that no calendar has.", where="mjo_rmm", way_out="kedro data verify mjo_rmm"
        ) from error


class PublicSeries(NamedTuple):
    """A public data set.

    Args:
        oscillation: A name of :data:`.oscillations.OSCILLATIONS`.
        read: Returns ``series``, ``event_time`` and the indices.
        test_begins: First instant that is forecast in the test, as in ``conf/base/public_data.yml``.
    """

    oscillation: str
    read: Callable[[], pl.DataFrame]
    test_begins: datetime


PUBLIC_SERIES = {
    "mjo_rmm": PublicSeries("mjo", read_mjo, datetime(2006, 1, 1, tzinfo=UTC)),
    "psl_climate_indices": PublicSeries("enso", read_enso, _ENSO_TEST_BEGINS),
    "core_co2_ppm": PublicSeries("carbon_dioxide", read_carbon_dioxide, datetime(2014, 12, 1, tzinfo=UTC)),
    "core_global_temp": PublicSeries("temperature", read_temperature, datetime(2004, 1, 1, tzinfo=UTC)),
}
