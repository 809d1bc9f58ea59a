"""The API: the beginning of a piece in, its continuation out, whole as MIDI or frame by frame."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipelines.music_generation.composing import compose_frames
from pipelines.music_generation.data import with_rolls
from pipelines.music_generation.midi import to_midi
from pipelines.music_generation.model import MusicModel, independent_logits_of, nll_of_frames
from pipelines.music_generation.rolls import LOWEST, N_KEYS, Roll, column_of, pitches_of, roll_of, rolls_of

_OPTIONS = {"n_frames": pl.Int64, "temperature": pl.Float64, "top_p": pl.Float64, "seed": pl.Int64}


class MusicRequest(BaseModel):
    """How a piece begins, and how it is to go on."""

    model_config = ConfigDict(extra="forbid")

    frames: list[str] = Field(
        min_length=1,
        max_length=2_000,
        description=f"The beginning: for each frame the MIDI numbers ({LOWEST} to {LOWEST + N_KEYS - 1}) that sound,"
        " separated by blanks; empty for silence.",
    )
    n_frames: int = Field(64, ge=1, le=1_000, description="Frames to compose.")
    temperature: float = Field(0.9, ge=0.05, le=3, description="1: as learnt; below: safer; above: bolder.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Only the likeliest next notes whose chances add up to it are drawn from; 1: all."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Another seed, another piece; the same seed, the same piece.")

    @field_validator("frames")
    @classmethod
    def _are_keys(cls, frames: list[str]) -> list[str]:
        roll_of([_pitches(frame) for frame in frames])
        return frames


def _pitches(frame: str) -> list[int]:
    """Returns the MIDI numbers of one frame of a request."""
    words = frame.split()
    wrong = [word for word in words if not (word.isascii() and word.isdigit() and len(word) < 4)]
    if wrong:
        raise ValueError(f"{wrong[0][:20]!r} is not a MIDI number")
    return [int(word) for word in words]


class MusicResponse(BaseModel):
    """The continuation."""

    midi: str = Field(description="The continuation as a Standard MIDI file, in base64.")
    frames: list[str] = Field(description="The continuation, written as the beginning is.")
    nll_per_frame: float | None = Field(
        description="How surprising the beginning was, nats per frame; null for a single frame."
    )
    n_copied_frames: int = Field(description="Longest run of the continuation's frames that a training piece has, too.")


EXAMPLE = MusicRequest(
    frames=["48 55 64 72", "53 57 65 72", "55 59 65 71", "48 55 64 72"], n_frames=32, temperature=0.9, seed=1
)
"""A valid request: a cadence in C major."""


def decode(requests: Sequence[MusicRequest]) -> pl.DataFrame:
    """Returns the beginnings' rolls and descriptors, and what is to be composed, row for row."""
    options = [request.model_dump(include=set(_OPTIONS)) for request in requests]
    rolls = [roll_of(list(map(_pitches, request.frames))) for request in requests]
    return with_rolls(pl.DataFrame(options, schema=_OPTIONS), rolls)


def answer(model: MusicModel, frame: pl.DataFrame) -> pl.DataFrame:
    """Returns the continuation of each decoded request.

    Args:
        model: A trained model.
        frame: What :func:`decode` returns.

    Returns:
        Row for row: ``nll_per_frame`` of the beginning (null for a single frame), ``continuation`` (a flat roll), and
        ``n_copied_count``, its longest run of frames that a training piece has, too. None is called as a column of
        ``predict``: monitoring would compare sums over short beginnings with those over whole pieces.
    """
    continuations = [np.stack(list(_continuation(model, row))) for row in frame.iter_slices(1)]
    copied = [model.corpus.longest_common_run(roll) for roll in continuations]
    return pl.DataFrame(
        [
            pl.Series("nll_per_frame", _nll_per_frame(model, rolls_of(frame)), dtype=pl.Float64),
            column_of(continuations, "continuation"),
            pl.Series("n_copied_count", copied, dtype=pl.Int64),
        ]
    )


def _nll_per_frame(model: MusicModel, rolls: list[Roll]) -> list[float | None]:
    """Returns each roll's loss in nats per frame from the second on, keys independent; None for a single frame."""
    logits = dict(independent_logits_of(model.network, rolls))
    return [
        float(nll_of_frames(roll[1:], logits[number][1:]).sum()) / (len(roll) - 1) if len(roll) > 1 else None
        for number, roll in enumerate(rolls)
    ]


def stream(model: MusicModel, frame: pl.DataFrame) -> Iterator[str]:
    """Yields the frames of one decoded request's continuation while they are composed, as the response has them."""
    for composed in _continuation(model, frame):
        yield _words(composed[None])[0]


def _continuation(model: MusicModel, row: pl.DataFrame) -> Iterator[Roll]:
    """Yields the frames, each of shape (88,), that continue one decoded request."""
    (roll,), options = rolls_of(row), row.select(*_OPTIONS).row(0, named=True)
    n_frames = options.pop("n_frames")
    for (composed,) in islice(compose_frames(model.network, roll[None], **options), n_frames):
        yield composed


def _words(roll: Roll) -> list[str]:
    """Returns the frames of a roll as requests and responses have them."""
    return [" ".join(map(str, pitches)) for pitches in pitches_of(roll)]


def encode(answers: pl.DataFrame) -> list[MusicResponse]:
    """Returns one response for each row of :func:`answer`, in order."""
    return [
        MusicResponse(
            midi=base64.b64encode(to_midi(continuation)).decode(),
            frames=_words(continuation),
            nll_per_frame=row["nll_per_frame"],
            n_copied_frames=row["n_copied_count"],
        )
        for row, continuation in zip(answers.iter_rows(named=True), rolls_of(answers, "continuation"), strict=True)
    ]
