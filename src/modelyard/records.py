"""Records: the one table that every project has, one row per example, and the contract that describes it.

Pixels, waveforms and token ids are media: columns that ``ingest`` returns too, and that are kept in a sidecar which a
row's key addresses. What Great Expectations checks, Feast stores and Evidently watches is the table without them.
"""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Literal

Dtype = Literal["string", "int64", "float64", "bool", "datetime"]
"""Column types of a contract. ``datetime`` is microseconds in UTC (``polars.Datetime("us", "UTC")``)."""

MediaDtype = Literal["uint8", "int16", "int32", "float32", "string"]
"""Types of the values in a media column."""

SPLITS = ("train", "valid", "test", "unused")
"""Values of the ``split`` column. ``unused`` rows (a label-delay gap, excluded examples) feed features only."""


CURRENCY = "currency"
"""Unit of money whose currency is a parameter of ingestion. The name of such a column carries no unit."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a contract.

    Args:
        name: snake_case; a quantity carries its unit (``age_d``), a boolean starts with ``is_`` or ``has_``, a time
            ends in ``_at`` or is ``event_time``.
        dtype: See :data:`Dtype`.
        description: One sentence.
        unit: SI, or :data:`CURRENCY`; empty where there is none.
        nullable: Whether a missing value is allowed.
        sensitive: Whether the value is kept out of request logs.
        is_identifier: Whether the text names somebody or something (a card, a terminal). In a user's file it is read
            as it stands, leading zeros included, and a number in scientific notation is refused. Key and group are
            identifiers anyway.
    """

    name: str
    dtype: Dtype
    description: str
    unit: str = ""
    nullable: bool = False
    sensitive: bool = False
    is_identifier: bool = False


@dataclass(frozen=True, kw_only=True)
class Media:
    """Pixels, samples, tokens or texts of an example, as one column.

    Args:
        name: The column (``image``).
        dtype: Type of one value.
        shape: Shape of one example, in the project's order of axes; the column holds it flat. None stands for the one
            axis whose length varies from example to example, as in ``(None, 88)``. Empty: one value (one string).
        description: One sentence, with the range of the numbers and the axes.
        role: ``target`` media (masks, boxes, reference texts) are seen by ``fit`` and ``Metrics.measure`` only.
    """

    name: str
    dtype: MediaDtype
    shape: tuple[int | None, ...]
    description: str
    role: Literal["input", "target"] = "input"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The columns of a project's records and their roles.

    Args:
        columns: Every column that records may have; others are dropped at ingestion, with a word in the log.
        key: Name of the column that identifies a row (unique).
        event_time: Name of the ``datetime`` column with the time of the example.
        target: Name of the label's column. None: nothing is labelled, and performance comes from the rows themselves.
        group: Column whose rows belong together (a customer, a patient): confidence intervals resample whole groups
            so that they stay honest when rows of one group resemble each other. None: rows are independent.
        media: What an example has beside its row; empty for tables.
    """

    columns: tuple[Column, ...]
    key: str
    event_time: str
    target: str | None = None
    group: str | None = None
    media: tuple[Media, ...] = ()

    def column(self, name: str) -> Column:
        """Returns the column called ``name``.

        Raises:
            KeyError: The contract has no such column.
        """
        return {column.name: column for column in self.columns}[name]

    def hidden_columns(self) -> tuple[str, ...]:
        """Returns the columns that ``predict`` must not get: the target, and media that are targets."""
        media = [media.name for media in self.media if media.role == "target"]
        return (*([self.target] if self.target else []), *media)

    def digest(self) -> str:
        """Returns the hex sha256 over the contract's content."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
