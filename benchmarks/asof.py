"""A million moments joined to a million feature rows: our offline store beside Feast's duckdb and dask stores.

    python benchmarks/asof.py [--rows 1000000] [--rounds 3] [--orders sorted any]

All three answer the same ``get_historical_features(...).to_df()``, each in a fresh process, in turn (A B C A B C); the
rows are compared first. Time is that of the call alone. Memory is told twice, because what the imports take is the
same for all: the process's peak (VmHWM), and by how much that is more than what it held just before the call. Figures
are medians over the rounds, ratios medians of each round's ratio; with 0 rounds the rows are compared, and no more.

The features are read from two files: sorted by entity and time, as our feature store writes them, and in no order.
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl

from modelyard.startup.feast import load_feast

load_feast()

import feast  # noqa: E402  # after its quick import
from feast.types import Float64, Int64  # noqa: E402

STORES = {"ours": "modelyard.feature_store.asof.AsofOfflineStore", "duckdb": "duckdb", "dask": "dask"}
ORDERS = {"sorted": "sorted by entity and time", "any": "in no order"}
FEATURES = [f"amount_{number}" for number in range(8)]
DAYS, TTL = 180, timedelta(days=30)


class Figures(NamedTuple):
    """One process: seconds of wall clock and of processor time, MB at the peak, and MB just before the call."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    before_mb: float

    @property
    def added_mb(self) -> float:
        """What the call needed."""
        return self.peak_mb - self.before_mb


def write_tables(folder: Path, n_rows: int) -> None:
    """Entity rows, and the feature rows in both orders; one entity for every twenty rows."""
    random = np.random.default_rng(0)

    def keys_and_times() -> pl.DataFrame:
        seconds = random.integers(0, DAYS * 86_400 * 1_000_000, n_rows)
        time_column = (pl.Series(seconds) + 1_704_067_200_000_000).cast(pl.Datetime("us", "UTC"))
        return pl.DataFrame(
            {"customer_id": random.integers(0, max(1, n_rows // 20), n_rows), "event_time": time_column}
        )

    asked = keys_and_times().rename({"event_time": "event_timestamp"}).unique(maintain_order=True)
    asked.with_row_index("row").write_parquet(folder / "asked.parquet")
    rows = keys_and_times().unique(maintain_order=True)
    rows = rows.with_columns(pl.Series(name, random.normal(size=rows.height)) for name in FEATURES)
    rows.write_parquet(folder / "any.parquet")
    rows.sort("customer_id", "event_time").write_parquet(folder / "sorted.parquet")


def answer(store: str, folder: Path, order: str, keep: bool) -> Figures:
    """Runs in a process of its own: one retrieval."""
    opened = feast.FeatureStore(config=configuration(store, folder))
    opened.apply(definitions(folder / f"{order}.parquet"))
    asked = pd.read_parquet(folder / "asked.parquet")
    names = [f"customer:{name}" for name in FEATURES]
    gc.collect()
    before, wall, cpu = memory_mb("VmRSS"), time.perf_counter(), time.process_time()
    result = opened.get_historical_features(entity_df=asked, features=names).to_df()
    figures = Figures(time.perf_counter() - wall, time.process_time() - cpu, memory_mb("VmHWM"), before)
    if keep:
        result.to_parquet(folder / f"{store}_{order}.parquet")
    return figures


def configuration(store: str, folder: Path) -> feast.RepoConfig:
    """The same for all but the offline store."""
    return feast.RepoConfig(
        project="benchmark",
        provider="local",
        registry=str(folder / f"{store}.db"),
        offline_store={"type": STORES[store]},
        online_store={"type": "sqlite", "path": str(folder / f"{store}_online.db")},
        entity_key_serialization_version=3,
    )


def definitions(path: Path) -> list:
    """One entity and one view."""
    customer = feast.Entity(name="customer_id", join_keys=["customer_id"], value_type=feast.ValueType.INT64)
    schema = [feast.Field(name="customer_id", dtype=Int64), *(feast.Field(name=n, dtype=Float64) for n in FEATURES)]
    source = feast.FileSource(name="customer", path=str(path), timestamp_field="event_time")
    return [customer, feast.FeatureView(name="customer", entities=[customer], ttl=TTL, schema=schema, source=source)]


def memory_mb(line: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (peak since the process began) of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{line}:")[1].split()[0]) / 1024


def measured(store: str, folder: Path, order: str, *, keep: bool = False) -> Figures:
    """:func:`answer` in a fresh process."""
    command = [sys.executable, __file__, "--answer", store, str(folder), order, *(["keep"] if keep else [])]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{store} failed:\n{run.stderr[-4000:]}")
    return Figures(*json.loads(run.stdout.splitlines()[-1]))


def check_rows(folder: Path, order: str) -> None:
    """Ours and duckdb's rows are the same; dask's are those that it keeps, and what it drops has no features here."""
    ours, duckdb, dask = (
        pl.read_parquet(folder / f"{store}_{order}.parquet").select("row", *FEATURES).fill_nan(None)
        for store in ("ours", "duckdb", "dask")
    )
    if ours["row"].to_list() != list(range(ours.height)):
        raise SystemExit("our rows are not in the order of the entity frame")
    if not ours.equals(duckdb.sort("row")):
        raise SystemExit("our rows are not those of the duckdb store")
    kept = ours.join(dask.select("row"), on="row", how="semi", maintain_order="left")
    dropped = ours.join(dask.select("row"), on="row", how="anti")
    if not kept.equals(dask.sort("row")) or any(dropped[name].count() for name in FEATURES):
        raise SystemExit("our rows are not those of the dask store")
    share = 1 - ours["amount_0"].null_count() / ours.height
    print(f"  rows are equal ({share:.0%} have features); dask drops {dropped.height:,} of {ours.height:,}")


def compare(folder: Path, order: str, n_rounds: int) -> None:
    """One section of the output."""
    for store in STORES:
        measured(store, folder, order, keep=True)
    check_rows(folder, order)
    if not n_rounds:
        return
    rounds = [{store: measured(store, folder, order) for store in STORES} for _ in range(n_rounds)]
    for store in STORES:
        figures = [figures[store] for figures in rounds]
        wall, cpu, peak, added = (
            statistics.median(getattr(each, name) for each in figures)
            for name in ("wall_s", "cpu_s", "peak_mb", "added_mb")
        )
        spread = f"{min(each.wall_s for each in figures):.2f} to {max(each.wall_s for each in figures):.2f}"
        print(
            f"  {store:<7}{wall:7.2f} s ({spread}), CPU {cpu:6.2f} s; peak {peak:5.0f} MB, {added:5.0f} of them added"
        )
    for store in ("duckdb", "dask"):
        times = statistics.median(each[store].wall_s / each["ours"].wall_s for each in rounds)
        whole = statistics.median(each["ours"].peak_mb / each[store].peak_mb for each in rounds)
        added = statistics.median(each["ours"].added_mb / each[store].added_mb for each in rounds)
        print(f"  {times:5.1f} times faster than {store} (goal at least 10);", end=" ")
        print(f"memory {whole:.2f} of its peak, {added:.2f} of what it adds (goal at most 0.5)")
    print()


def main() -> None:
    """Measures both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--orders", nargs="+", choices=list(ORDERS), default=list(ORDERS))
    parser.add_argument("--answer", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        store, folder, order, *keep = arguments.answer
        print(json.dumps(answer(store, Path(folder), order, bool(keep))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        write_tables(Path(temporary), arguments.rows)
        for order in arguments.orders:
            print(f"{arguments.rows:,} moments, {arguments.rows:,} feature rows {ORDERS[order]}")
            compare(Path(temporary), order, arguments.rounds)


if __name__ == "__main__":
    main()
