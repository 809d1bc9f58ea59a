"""The API: the beginning of a piece in, its continuation as MIDI out."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from modelyard.tasks.earlier_rows import UNKNOWN
from pipelines.music_generation.features import STYLE
from pipelines.music_generation.rolls import LOWEST, N_KEYS, pitches_of, roll_of, rolls_of

if TYPE_CHECKING:
    import polars as pl


def _pitches(frame: str) -> list[int]:
    """The MIDI numbers of one frame as it is written in a request."""
    words = frame.split()
    wrong = [word for word in words if not (word.isascii() and word.isdigit() and len(word) < 4)]
    if wrong:
        raise ValueError(f"{wrong[0][:20]!r} is no MIDI number")
    return [int(word) for word in words]


class MusicRequest(BaseModel):
    """How a piece begins, and how much is to follow."""

    model_config = ConfigDict(extra="forbid")

    frames: list[str] = Field(
        min_length=1,
        max_length=2_000,
        description=f"The beginning: for each frame the MIDI numbers ({LOWEST} to {LOWEST + N_KEYS - 1}) that sound,"
        " separated by blanks; empty for silence.",
    )
    n_frames: int = Field(64, ge=1, le=1_000, description="Frames to compose.")
    temperature: float = Field(0.9, ge=0.05, le=3, description="1: as learnt; below: safer; above: wilder.")
    seed: int = Field(0, ge=0, lt=2**31, description="Another seed, another piece; the same seed, the same piece.")
    event_time: AwareDatetime | None = Field(None, description="When it is asked, with its offset from UTC.")
    collection_id: str = Field(UNKNOWN, description="In whose style.")
    collection_change_90d: float | None = Field(
        None, ge=0, le=1, description="Share of frames that change in the collection's pieces of the last 90 days."
    )
    collection_minor_90d: float | None = Field(
        None, ge=0, le=1, description="Share of minor among the collection's pieces of the last 90 days."
    )

    @field_validator("frames")
    @classmethod
    def _are_keys(cls, frames: list[str]) -> list[str]:
        for pitch in (pitch for frame in frames for pitch in _pitches(frame)):
            if not LOWEST <= pitch < LOWEST + N_KEYS:
                raise ValueError(f"{pitch} is no key of a piano ({LOWEST} to {LOWEST + N_KEYS - 1})")
        return frames


class MusicResponse(BaseModel):
    """The answer."""

    midi: str = Field(description="The continuation as a Standard MIDI file, in base64.")
    frames: list[str] = Field(description="The continuation, written as the beginning is.")
    nll_per_frame: float | None = Field(
        description="How surprising the beginning was, nats per frame; null for a single frame."
    )
    n_copied_frames: int = Field(description="Longest run of the continuation's frames that a training piece has, too.")


EXAMPLE = MusicRequest(
    frames=["48 55 64 72", "53 57 65 72", "55 59 65 71", "48 55 64 72"],
    n_frames=32,
    temperature=0.9,
    seed=1,
    collection_id="collection_1",
    collection_change_90d=0.6,
    collection_minor_90d=0.4,
)
"""A valid request: a cadence in C major."""


def decode(requests: Sequence[MusicRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row, with what is measured on each beginning."""
    import polars as pl

    from pipelines.music_generation.data import with_rolls

    schema: dict[str, Any] = {
        "event_time": pl.Datetime("us", "UTC"),
        "collection_id": pl.String,
        **dict.fromkeys(STYLE, pl.Float64),
        "ask_frames_count": pl.Int64,
        "ask_temperature_ratio": pl.Float64,
        "ask_seed_index": pl.Int64,
    }
    asked = {"ask_frames_count": "n_frames", "ask_temperature_ratio": "temperature", "ask_seed_index": "seed"}
    rows = pl.DataFrame(
        [{name: getattr(request, asked.get(name, name)) for name in schema} for request in requests], schema=schema
    )
    # The target is measured on the beginning alone here, and would be taken for the whole piece's.
    return with_rolls(rows, [roll_of(list(map(_pitches, request.frames))) for request in requests]).drop(
        "n_notes_count"
    )


def encode(predictions: pl.DataFrame) -> list[MusicResponse]:
    """Predictions to one response for each request, in order."""
    from pipelines.music_generation.midi import to_midi

    return [
        MusicResponse(
            midi=base64.b64encode(to_midi(composed)).decode(),
            frames=[" ".join(map(str, pitches)) for pitches in pitches_of(composed)],
            nll_per_frame=row["nll_nats"] / row["n_predicted_count"] if row["n_predicted_count"] else None,
            n_copied_frames=row["n_copied_count"],
        )
        for row, composed in zip(predictions.iter_rows(named=True), rolls_of(predictions, "continuation"), strict=True)
    ]
