"""How the cells of a user's table are written, and the ingest parameters of projects that read one."""

from typing import Literal

from pydantic import Field

from modelyard.parameters import Parameters, SourceParameters


class TableFormat(Parameters):
    """How numbers, dates, truth and missing values are written in a user's file."""

    date_format: str | None = Field(
        None, description="Form of dates and times in strptime's codes, such as %d/%m/%Y. None: ISO 8601 and its kin."
    )
    decimal: Literal[".", ","] = Field(".", description="Mark before the decimals of a number.")
    thousands: Literal["", ",", ".", " ", "'", "_"] = Field("", description="Mark between thousands; empty: none.")
    currency_marks: tuple[str, ...] = Field(
        (),
        description="What may stand before or behind an amount ($, EUR); commas between its thousands are read then.",
    )
    true_values: tuple[str, ...] = Field(
        ("true", "t", "yes", "y", "1", "1.0"), description="Spellings of true, in any letter case."
    )
    false_values: tuple[str, ...] = Field(
        ("false", "f", "no", "n", "0", "0.0"), description="Spellings of false, in any letter case."
    )
    missing_values: tuple[str, ...] = Field(
        ("", "na", "n/a", "nan", "null", "none", "<na>", "#n/a", "\\n", "-"),
        description="Spellings of a missing value in columns that are no text, in any letter case.",
    )


class TableSourceParameters(SourceParameters):
    """Where records come from, for projects whose own data are a table; messages name ``ingest.format``."""

    format: TableFormat = Field(TableFormat(), description="Own data: how numbers, times and truth are written.")
