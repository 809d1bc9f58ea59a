"""The API: an operator's note in, the part's risk out."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modelyard.tasks.text.word_tokenizer import split_words


class PartRequest(BaseModel):
    """A note on a part."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field(min_length=1, max_length=20_000, description="What the operator wrote, in plain text.")


class PartResponse(BaseModel):
    """The answer."""

    failure_probability: float = Field(description="How likely the part fails within a week.")


EXAMPLE = PartRequest(note="The spindle shakes at full load. Metal dust under the gearbox. No leak at the pump.")
"""A valid request."""


def decode(requests: Sequence[PartRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row."""
    notes = pl.Series("note", [request.note for request in requests], dtype=pl.String)
    return pl.DataFrame({"n_words_count": split_words(notes).list.len().cast(pl.Int64), "note": notes})


def encode(predictions: pl.DataFrame) -> list[PartResponse]:
    """Predictions to one response for each request, in order."""
    return [PartResponse(failure_probability=value) for value in predictions["failure_probability"]]
