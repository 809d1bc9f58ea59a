"""Operators' notes on machine parts: simulated with a known ceiling, or your own table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import Field

from modelyard.own_data.format import TableSourceParameters
from modelyard.own_data.table import read_own_source
from modelyard.records import Column, Contract, Media
from modelyard.tasks.classification import class_balance_expectations
from modelyard.tasks.text.word_tokenizer import split_words
from pipelines.starter_project.simulator import SimulationParameters, simulate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

CONTRACT = Contract(
    key="note_id",
    event_time="event_time",
    target="is_failing",
    columns=(
        Column(name="note_id", dtype="string", description="Identifies the note."),
        Column(name="event_time", dtype="datetime", description="When the note was written."),
        Column(name="n_words_count", dtype="int64", description="Words and marks of the note."),
        Column(name="is_failing", dtype="bool", description="Whether the part failed within the following week."),
    ),
    media=(Media(name="note", dtype="string", shape=(), description="What the operator wrote, in plain text."),),
)
"""What records promise."""

_OWN = replace(
    CONTRACT,
    columns=(
        *(column for column in CONTRACT.columns if column.name != "n_words_count"),
        Column(name="note", dtype="string", description="What the operator wrote."),
    ),
)
"""The columns of a user's own table."""

RULE_OF_THUMB = "n_words_count"
"""The one column that a person without a model would look at."""


class IngestParameters(TableSourceParameters):
    """Where notes come from. There is no well-known public data set for this toy, so none is offered."""

    source: Literal["simulated", "own"] = Field("simulated", description="Which source.")
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated plant.")
    timezone: str | None = Field(None, description="Own data: IANA zone of times without an offset.")
    max_words: int = Field(10_000, ge=1, le=1_000_000, description="Words of the longest note that can be right.")
    min_class_share: float = Field(0.02, ge=0, lt=0.5, description="Least share of each class that can be right.")


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's notes.

    Args:
        params: See :class:`IngestParameters`; a path names a CSV or Parquet file with the columns ``note_id``,
            ``event_time``, ``note`` and ``is_failing``.

    Returns:
        Columns of :data:`CONTRACT` and ``note``; own data may bring ``split`` and ``parse_errors``.

    Raises:
        ConfigurationError: ``source`` is ``own`` and no path is given, or nothing is there.
        DataContractError: The user's file cannot be read or lacks columns.
    """
    if params.source == "simulated":
        rows = simulate(params.simulation).drop("true_risk")
    else:
        rows = read_own_source(params, _OWN, params.timezone)
    # A note that is missing has no words, and is rejected for that.
    rows = rows.with_columns(pl.col("note").fill_null(""))
    return rows.with_columns(split_words(rows["note"]).list.len().cast(pl.Int64).alias("n_words_count"))


def expectations(params: IngestParameters) -> list[Expectation]:
    """What records must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`; they decide how long a note may be.
    """
    import great_expectations.expectations as gxe

    return [
        *class_balance_expectations("is_failing", params.min_class_share),
        gxe.ExpectColumnValuesToBeBetween(
            column="n_words_count",
            min_value=1,
            max_value=params.max_words,
            description=f"A note has between 1 and {params.max_words} words.",
        ),
    ]
