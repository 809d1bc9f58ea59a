"""The API: a radiograph in, a probability and one of three answers out. No medical device: see the card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.heat_maps import with_heat_maps
from modelyard.tasks.images.request_image import Base64Image, RequestImage, decoded
from pipelines.medical_image_analysis.data import FORMAT, UNKNOWN, read_radiograph, with_pictures
from pipelines.medical_image_analysis.evaluate import predict
from pipelines.medical_image_analysis.model import FitParameters, to_pictures

MAX_TEXT = 6_700_000
"""Characters of base64: 5 MB of PNG. The server refuses requests of more than 8 MB."""


class ExamRequest(BaseModel):
    """One chest radiograph, and what is known about its scanner."""

    model_config = ConfigDict(extra="forbid")

    image: Annotated[RequestImage, Base64Image(read_radiograph, MAX_TEXT)] = Field(
        description=f"PNG or JPEG in base64: grey with 8 bits, at least {FORMAT.side} x {FORMAT.side} pixels; the"
        " central square is used.",
    )
    event_time: AwareDatetime | None = Field(None, description="When it was taken, with its offset from UTC.")
    scanner_id: str = Field(UNKNOWN, description="What took it.")
    explain: bool = Field(False, description="Whether the answer says where the networks looked; takes longer.")


class ExamResponse(BaseModel):
    """The answer."""

    pneumonia_probability: float = Field(description="Calibrated probability of pneumonia.")
    answer: Literal["pneumonia", "no pneumonia", "ask a person"] = Field(
        description="`ask a person` where the model is too unsure to decide."
    )
    disagreement: float = Field(description="Standard deviation of the networks' own probabilities.")
    heat_map: list[list[float]] | None = Field(
        description="What speaks for pneumonia (Grad-CAM), 0 to 1, in rows over the central square; null unless"
        " `explain`."
    )


_EXAMPLE_JPEG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxO"
    "UlNSMj5aYVpQYEpRUk//wAALCAAcABwBAREA/8QAGAAAAwEBAAAAAAAAAAAAAAAAAwQFAgb/xAAoEAACAQMDBAIBBQAAAAAAAAAB"
    "AgMABBEFEiEGEzFRFUEUImGRweH/2gAIAQEAAD8ApWSRWOnRD9KqqDJPnxzT1pJHJBI0bArt4xzSkd7A8/ZVgx8Vx/UtiE1d2RQu"
    "9QxGPvx/VUupJcQWkW9gjJuwD5+qN0rcMLa9QBsRxl1z7paO6giiBCFZd2d1E15RLexuR5iH1+59ijavbG6020uYo+4yKOB6I/yr"
    "HRFkVtrh7lQO6m3BFR7ywn+SFt2xsD4J+sVrWlj/ADFDYyIwPfunNAYyaFBI/JCAc/xVe14ViOML4rLDdhj5zjNcN1PdS/LEBiAE"
    "AABPs1//2Q=="
)

EXAMPLE = ExamRequest.model_construct(
    image=RequestImage(_EXAMPLE_JPEG, read_radiograph), event_time=None, scanner_id="scanner_1"
)
"""A valid request (not decoded here: that would import Pillow with every command): a simulated chest."""


def decode(requests: Sequence[ExamRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row, with what is measured on each picture."""
    schema: dict[str, pl.DataType] = {
        "event_time": pl.Datetime("us", "UTC"),
        "scanner_id": pl.String(),
        "explain": pl.Boolean(),
    }
    return with_pictures(*decoded(requests, schema, FORMAT.shape))


def answer(model: Ensemble[FitParameters], frame: pl.DataFrame) -> pl.DataFrame:
    """Returns the predictions, with a ``heat_map`` for the requests that ask for one.

    Args:
        model: A trained model.
        frame: What :func:`decode` returns.
    """
    return with_heat_maps(predict(model, frame), frame, model.networks, to_pictures)


def encode(predictions: pl.DataFrame) -> list[ExamResponse]:
    """Predictions to one response for each request, in order."""
    return [
        ExamResponse(
            pneumonia_probability=row["score"],
            answer="ask a person" if row["is_deferred"] else "pneumonia" if row["is_predicted"] else "no pneumonia",
            disagreement=row["disagreement"],
            heat_map=row.get("heat_map"),
        )
        for row in predictions.iter_rows(named=True)
    ]
