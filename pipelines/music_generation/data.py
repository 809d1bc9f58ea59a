"""Pieces of music: simulated with a known ceiling, Bach's chorales or Nottingham's tunes, or your own MIDI files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.own_data.format import TableSourceParameters
from modelyard.records import Column, Contract, Media
from modelyard.tasks.own_media import read_own_media
from pipelines.music_generation import descriptors
from pipelines.music_generation.midi import read_midi
from pipelines.music_generation.rolls import N_KEYS, Roll, column_of
from pipelines.music_generation.simulator import SimulationParameters, simulate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

UNKNOWN = "unknown"
"""Collection of own pieces that are in no sub-folder."""

CONTRACT = Contract(
    key="piece_id",
    event_time="event_time",
    columns=(
        Column(name="piece_id", dtype="string", description="Identifies the piece."),
        Column(name="event_time", dtype="datetime", description="When it came in; the publication's day if unknown."),
        Column(name="collection_id", dtype="string", description=f"Where it is from; '{UNKNOWN}' if not known."),
        *descriptors.COLUMNS,
    ),
    media=(
        Media(
            name="roll",
            dtype="uint8",
            shape=(None, 88),
            description="Piano roll, (T, 88) from A0 to C8: 1 where a key sounds in a frame, else 0.",
        ),
    ),
)
"""What records promise. There is no target: each frame is what the frames before are to predict."""

_PUBLISHED = datetime(2012, 6, 27, tzinfo=UTC)
"""Boulanger-Lewandowski et al., ICML 2012: the pieces name no time of their own."""

_FILES = {"jsb_chorales": "JSB_Chorales.mat", "nottingham": "Nottingham.mat"}
_OFFICIAL_COUNTS = {
    "jsb_chorales": {"train": (229, 13_807), "valid": (76, 4_602), "test": (77, 4_725)},
    "nottingham": {"train": (694, 176_561), "valid": (173, 45_513), "test": (170, 44_463)},
}
"""Split to pieces and frames."""


class IngestParameters(TableSourceParameters):
    """Where pieces come from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["jsb_chorales", "nottingham"] = Field("jsb_chorales", description="Public data set.")
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated composers.")
    path: str = Field("", description="Own data: a folder of MIDI files.")
    frames_per_quarter: int = Field(1, ge=1, le=24, description="Own data: frames in a quarter note.")
    min_frames: int = Field(8, ge=2, le=10_000, description="Shorter pieces go to quarantine.")


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Returns the pieces of the configured source.

    Args:
        params: See :class:`IngestParameters`.

    Returns:
        Columns of :data:`CONTRACT` and ``roll``; the official ``split``; ``parse_errors`` of own data.

    Raises:
        DataContractError: The own data cannot be understood, or the public ones are not those described.
        ConfigurationError: ``source`` is ``own`` and nothing is there.
        FetchError: The public data cannot be brought here.
    """
    match params.source:
        case "simulated":
            rows, rolls = simulate(params.simulation)
            return with_rolls(rows.drop("min_nll_nats"), rolls)
        case "public":
            return with_rolls(*_public(params.dataset))
        case "own":
            return with_rolls(*_own(params))


def with_rolls(rows: pl.DataFrame, rolls: list[Roll]) -> pl.DataFrame:
    """Returns N rows with their N rolls and the rolls' descriptors beside them."""
    return rows.hstack(descriptors.describe(rolls)).hstack([column_of(rolls)])


def _public(name: Literal["jsb_chorales", "nottingham"]) -> tuple[pl.DataFrame, list[Roll]]:
    """Returns the official parts of a data set; a MATLAB file holds no code, unlike a pickle."""
    from scipy.io import loadmat  # type: ignore[import-untyped]  # scipy has no types

    from modelyard.public_data.fetch import fetch

    content = loadmat(fetch("polyphonic_music_mat") / _FILES[name])
    parts = {split: [roll.astype(bool) for roll in content[f"{split}data"][0]] for split in ("train", "valid", "test")}
    found = {split: (len(rolls), sum(map(len, rolls))) for split, rolls in parts.items()}
    if found != _OFFICIAL_COUNTS[name]:
        raise DataContractError(
            f"The set has {found} (pieces, frames), the official one {_OFFICIAL_COUNTS[name]}.",
            where=f"polyphonic_music_mat, {_FILES[name]}",
            way_out="kedro data verify polyphonic_music_mat",
        )
    rows = pl.DataFrame(
        [(f"{split}_{number:03d}", split) for split, rolls in parts.items() for number in range(len(rolls))],
        schema=["piece_id", "split"],
        orient="row",
    ).with_columns(
        pl.lit(_PUBLISHED, dtype=pl.Datetime("us", "UTC")).alias("event_time"), pl.lit(name).alias("collection_id")
    )
    return rows, [roll for rolls in parts.values() for roll in rolls]


def _own(params: IngestParameters) -> tuple[pl.DataFrame, list[Roll]]:
    """Returns a user's MIDI files; the sub-folder that a file is in is its collection."""
    rows, rolls = read_own_media(
        params.path,
        lambda content: read_midi(content, params.frames_per_quarter),
        media="roll",
        blank=np.zeros((1, N_KEYS), bool),
        endings=(".mid", ".midi"),
        key="piece_id",
        headers=params.columns,
        table_format=params.format,
    )
    folder = pl.col("piece_id").str.extract(r"^(.+)/[^/]*$")
    return rows.with_columns(folder.fill_null(UNKNOWN).alias("collection_id")), rolls


def expectations(params: IngestParameters) -> list[Expectation]:
    """Returns what pieces must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`; they decide how short a piece may be.
    """
    import great_expectations.expectations as gxe

    bounds = {
        "notes_per_frame_ratio": (0.2, 15, "A fifth to 15 keys sound at once: two hands play no more."),
        "mean_pitch_semitone": (30, 100, "The mean pitch is where instruments and voices are."),
        "range_semitone": (2, 87, "A piece has more than one note, and all of them are on the piano."),
        "silence_share": (0, 0.8, "At least a fifth of the frames sounds."),
        "in_key_share": (0.4, 1, "Two fifths of the notes are in the estimated key: chance alone gives more."),
        "n_frames_count": (params.min_frames, None, f"A piece has at least {params.min_frames} frames."),
        "tonic_index": (0, 11, "There are twelve tonics."),
    }
    return [
        *(
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high, description=description)
            for name, (low, high, description) in bounds.items()
        ),
        gxe.ExpectColumnMeanToBeBetween(
            column="change_share",
            min_value=0.05,
            description="Frames change: else the frames are much shorter than the notes.",
        ),
    ]
