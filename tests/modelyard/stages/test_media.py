"""Media leave the records at ingestion and come back beside the rows that a model sees."""

import numpy as np
import polars as pl
import pytest
from kedro.io.core import DatasetError

from modelyard.catalog.tables import ArrowTable
from modelyard.errors import DataContractError
from modelyard.records import Column, Contract, Media
from modelyard.stages.media import split_media, with_media

IMAGE = Media(name="image", dtype="uint8", shape=(2, 2), description="Grey values 0 to 255, (H, W).")
NOTES = Media(name="notes", dtype="int16", shape=(None,), description="MIDI numbers 0 to 127, in time.")
COLUMNS = (
    Column(name="id", dtype="string", description="Key."),
    Column(name="seen_at", dtype="datetime", description="When."),
    Column(name="label", dtype="int64", description="Target."),
)


def contract(*media: Media) -> Contract:
    return Contract(columns=COLUMNS, key="id", event_time="seen_at", target="label", media=media)


def records() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": ["a", "b", "c"],
            "label": [0, 1, 0],
            "image": pl.Series(np.arange(12, dtype=np.uint8).reshape(3, 4)),
            "notes": pl.Series([[60], [60, 64], []], dtype=pl.List(pl.Int16)),
        }
    )


def test_media_come_back_to_their_rows_in_any_order(tmp_path):
    rows, media = split_media(records(), contract(IMAGE, NOTES))
    assert rows.columns == ["id", "label"]
    stored = ArrowTable(filepath=str(tmp_path / "media.arrow"))
    stored.save(media)
    joined = with_media(rows[[2, 0]], stored.load(), contract(IMAGE, NOTES))
    assert joined["image"].to_numpy().tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]]
    assert joined["notes"].to_list() == [[], [60]]


def test_a_table_has_no_media(tmp_path):
    rows, media = split_media(records().select("id", "label"), contract())
    stored = ArrowTable(filepath=str(tmp_path / "media.arrow"))
    stored.save(media)
    assert with_media(rows, stored.load(), contract()).equals(rows)


def test_a_repeated_key_does_not_multiply_rows():
    _, media = split_media(pl.concat([records(), records()]), contract(IMAGE, NOTES))
    assert with_media(records().select("id"), media, contract(IMAGE, NOTES)).height == 3


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (pl.col("image").cast(pl.Array(pl.Float32, 4)), "Float32"),
        (pl.Series("image", np.zeros((3, 9), np.uint8)), "shape=\\(9,\\)"),
        (pl.Series("image", [[1, 2, 3, 4], None, [1, 2, 3, 4]], dtype=pl.Array(pl.UInt8, 4)), "1 missing"),
    ],
)
def test_media_of_another_type_or_shape_are_refused(change, found):
    with pytest.raises(DataContractError, match=found):
        split_media(records().with_columns(change), contract(IMAGE))


def test_missing_media_are_named():
    with pytest.raises(DataContractError, match="media image are missing"):
        split_media(records().drop("image"), contract(IMAGE, NOTES))


def test_a_damaged_file_is_said(tmp_path):
    (tmp_path / "media.arrow").write_bytes(b"ARROW1 cut off")
    with pytest.raises(DatasetError, match="cannot be read"):
        ArrowTable(filepath=str(tmp_path / "media.arrow")).load()


def test_texts_and_ragged_arrays_are_media():
    texts = Media(name="text", dtype="string", shape=(), description="What was said.")
    roll = Media(name="roll", dtype="uint8", shape=(None, 2), description="Two keys in each frame.")
    kept = records().with_columns(
        text=pl.lit("hello"), roll=pl.Series([[1, 0], [], [0, 1, 1, 1]], dtype=pl.List(pl.UInt8))
    )
    _, media = split_media(kept, contract(texts, roll))
    assert media.schema == {"id": pl.String, "text": pl.String, "roll": pl.List(pl.UInt8)}
    odd = kept.with_columns(roll=pl.Series([[1, 0], [], [0]], dtype=pl.List(pl.UInt8)))
    with pytest.raises(DataContractError, match="None, 2"):
        split_media(odd, contract(texts, roll))
