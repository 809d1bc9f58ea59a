"""What the page asks the server for: the gallery of all projects, and one project's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from modelyard.play.description import Example, Input, Output

Alias = Literal["champion", "challenger", "latest"]
"""Why a version answers: it has this alias, or neither is given and it is the latest that loads."""


class _Response(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class MetricValue(_Response):
    """The primary metric on test rows."""

    name: str
    value: float
    low: float | None
    """Lower end of the interval of 95 %; null where it has none."""
    high: float | None
    floor: float | None
    """What a trivial rule has on the same rows."""
    greater_is_better: bool
    meaning: str
    """What it says, one sentence; empty where the project does not say."""


class PublishedValue(_Response):
    """What others have published on the same data, in the same metric."""

    name: str
    value: float
    source: str


class GalleryEntry(_Response):
    """One project in the gallery."""

    project: str
    title: str
    question: str
    """Empty where the project has no page."""
    has_page: bool
    version: str | None
    """That would answer now; null where none was registered."""
    alias: Alias | None
    gate: Literal["passed", "failed"] | None
    """Whether that version may become champion."""
    metric: MetricValue | None
    published: Sequence[PublishedValue]
    drift: Literal["none", "warning", "drifted", "unknown"]
    """Of the latest verdict of monitoring on that version."""
    trained_at: datetime | None
    picture: str | None
    """Address of a PNG; null where there is no version."""
    data: str | None
    """``simulated``, ``own`` or ``public: <data set>``: what that version learnt from."""
    command: str
    """That trains it."""


class Gallery(_Response):
    """All projects."""

    projects: Sequence[GalleryEntry]


class PlayPage(_Response):
    """One project's page: its :class:`modelyard.play.description.Play`, and where its requests go."""

    project: str
    title: str
    question: str
    inputs: Sequence[Input]
    outputs: Sequence[Output]
    examples: Sequence[Example]
    meaning: str
    without_answer: str
    caution: str
    picture: str
    """Stem of the figure that the gallery shows."""
    route: str
    stream_route: str | None
    max_rows: int
    request_schema: Mapping[str, Any]
    """JSON schema of one request."""
