from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from modelyard.errors import DataContractError
from modelyard.records import Column, Contract
from modelyard.scoring import learning_rows
from modelyard.stages.examples import SplitParameters, with_split

CONTRACT = Contract(
    columns=(
        Column(name="id", dtype="int64", description="Key."),
        Column(name="event_time", dtype="datetime", description="When."),
        Column(name="is_bad", dtype="bool", description="Target."),
    ),
    key="id",
    event_time="event_time",
    target="is_bad",
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def frame(n=20, **columns):
    return pl.DataFrame({"id": range(n), "event_time": [START + timedelta(hours=i) for i in range(n)], **columns})


def test_the_latest_rows_are_the_test_and_nothing_overlaps():
    examples = with_split(
        frame().sample(fraction=1, shuffle=True, seed=1), CONTRACT, SplitParameters(valid_share=0.2, test_share=0.3)
    )
    times = {split: examples.filter(pl.col("split") == split)["event_time"] for split in ("train", "valid", "test")}
    assert [len(times[split]) for split in times] == [10, 4, 6]
    assert times["train"].max() < times["valid"].min() <= times["valid"].max() < times["test"].min()


def test_an_official_split_is_kept():
    official = ["train"] * 10 + ["valid"] * 5 + ["test"] * 4 + ["unused"]
    examples = with_split(frame(split=official), CONTRACT, SplitParameters())
    assert examples["split"].to_list() == official
    assert set(learning_rows(examples)["split"]) == {"train", "valid"}


@pytest.mark.parametrize(
    ("split", "message"),
    [(["train"] * 19 + ["tset"], "unknown values tset"), (["train"] * 15 + ["valid"] * 5, "no test rows")],
)
def test_a_wrong_official_split_is_refused(split, message):
    with pytest.raises(DataContractError, match=message):
        with_split(frame(split=split), CONTRACT, SplitParameters())
