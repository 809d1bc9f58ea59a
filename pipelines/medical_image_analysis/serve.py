"""The API: a radiograph in, a probability and one of three answers out. No medical device: see the card."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from modelyard.tasks.earlier_rows import UNKNOWN
from pipelines.medical_image_analysis.features import LEVELS
from pipelines.medical_image_analysis.pictures import SIDE, read_picture

if TYPE_CHECKING:
    import polars as pl

_LARGEST_TEXT = 28_000_000
"""Characters of base64: 20 MB of PNG."""


class ExamRequest(BaseModel):
    """One chest radiograph, and what is known about its scanner."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(
        max_length=_LARGEST_TEXT,
        description=f"PNG or JPEG in base64: one channel of grey with 8 bits, at least {SIDE} x {SIDE} pixels; the"
        " central square is used.",
    )
    event_time: AwareDatetime | None = Field(None, description="When it was taken, with its offset from UTC.")
    scanner_id: str = Field(UNKNOWN, description="What took it.")
    scanner_brightness_28d: float | None = Field(
        None, ge=0, le=1, description="Mean brightness of the scanner's exams of the last 28 days, 0 to 1."
    )
    scanner_contrast_28d: float | None = Field(
        None, ge=0, le=1, description="Mean contrast of the scanner's exams of the last 28 days, 0 to 1."
    )

    @field_validator("image")
    @classmethod
    def _is_a_radiograph(cls, text: str) -> str:
        read_picture(_bytes_of(text))
        return text


class ExamResponse(BaseModel):
    """The answer."""

    pneumonia_probability: float = Field(description="Calibrated probability of pneumonia.")
    answer: Literal["pneumonia", "no pneumonia", "ask a person"] = Field(
        description="`ask a person` where the model is too unsure to call it."
    )
    disagreement: float = Field(description="Standard deviation of the networks' own probabilities.")


_EXAMPLE_JPEG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxO"
    "UlNSMj5aYVpQYEpRUk//wAALCAAcABwBAREA/8QAGAAAAwEBAAAAAAAAAAAAAAAAAwQFAgb/xAAoEAACAQMDBAIBBQAAAAAAAAAB"
    "AgMABBEFEiEGEzFRFUEUImGRweH/2gAIAQEAAD8ApWSRWOnRD9KqqDJPnxzT1pJHJBI0bArt4xzSkd7A8/ZVgx8Vx/UtiE1d2RQu"
    "9QxGPvx/VUupJcQWkW9gjJuwD5+qN0rcMLa9QBsRxl1z7paO6giiBCFZd2d1E15RLexuR5iH1+59ijavbG6020uYo+4yKOB6I/yr"
    "HRFkVtrh7lQO6m3BFR7ywn+SFt2xsD4J+sVrWlj/ADFDYyIwPfunNAYyaFBI/JCAc/xVe14ViOML4rLDdhj5zjNcN1PdS/LEBiAE"
    "AABPs1//2Q=="
)

EXAMPLE = ExamRequest.model_construct(
    image=_EXAMPLE_JPEG,
    event_time=None,
    scanner_id="scanner_1",
    scanner_brightness_28d=0.46,
    scanner_contrast_28d=0.19,
)
"""A valid request (not validated here: that would import numpy with every command): a simulated chest."""


def decode(requests: Sequence[ExamRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row, with what is measured on each picture.

    Raises:
        ValueError: An image cannot be read.
    """
    import numpy as np
    import polars as pl

    from pipelines.medical_image_analysis.data import with_pictures

    schema: dict[str, Any] = {
        "event_time": pl.Datetime("us", "UTC"),
        "scanner_id": pl.String,
        **dict.fromkeys(LEVELS, pl.Float64),
    }
    rows = pl.DataFrame([{name: getattr(request, name) for name in schema} for request in requests], schema=schema)
    pictures = [read_picture(_bytes_of(request.image)) for request in requests]
    return with_pictures(rows, np.stack(pictures) if pictures else np.zeros((0, SIDE, SIDE), np.uint8))


def encode(predictions: pl.DataFrame) -> list[ExamResponse]:
    """Predictions to one response for each request, in order."""
    return [
        ExamResponse(
            pneumonia_probability=row["score"],
            answer="ask a person" if row["is_referred"] else "pneumonia" if row["is_called"] else "no pneumonia",
            disagreement=row["disagreement"],
        )
        for row in predictions.iter_rows(named=True)
    ]


def _bytes_of(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("the image is no base64 text (the bytes of the file, nothing in front)") from error
