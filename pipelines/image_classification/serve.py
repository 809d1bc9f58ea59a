"""The API: a picture of any size in, its class, all probabilities and one of three kinds of answer out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.heat_maps import with_heat_maps
from modelyard.tasks.images.multiclass_classifier import class_numbers
from modelyard.tasks.images.request_image import Base64Image, RequestImage, decoded
from pipelines.image_classification.data import FORMAT, read_picture, with_pictures
from pipelines.image_classification.model import FitParameters, answer, to_pictures

MAX_TEXT = 8_000_000
"""Characters of base64: 6 MB of a file, a photo of a telephone."""

MAX_ROWS = 64
"""Pictures of one request."""

UNSURE, UNKNOWN = "ask a person", "none of the classes"
"""Answers beside the classes."""


class PictureRequest(BaseModel):
    """A picture."""

    model_config = ConfigDict(extra="forbid")

    image: Annotated[RequestImage, Base64Image(read_picture, MAX_TEXT)] = Field(
        description="PNG or JPEG in base64, 16 pixels or more on each side; its central square is brought to"
        f" {FORMAT.side} x {FORMAT.side}.",
    )
    explain: bool = Field(False, description="Whether the answer says where the networks looked; takes longer.")


class PictureResponse(BaseModel):
    """The answer."""

    answer: str = Field(
        description=f"The class; `{UNKNOWN}` where nothing like the picture was learnt; `{UNSURE}` where two classes"
        " are nearly as likely."
    )
    label: str = Field(description="The likeliest class, whatever the answer is.")
    confidence: float = Field(description="Its calibrated probability, if the picture shows one of the classes.")
    probabilities: dict[str, float] = Field(description="Calibrated probability of each class; the sum is 1.")
    is_known: bool = Field(description="Whether the picture looks like those that were learnt.")
    heat_map: list[list[float]] | None = Field(
        description="What speaks for `label` (Grad-CAM), 0 to 1, in rows over the central square; null unless"
        " `explain`."
    )


_EXAMPLE_PNG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYWICwgIyYn"
    "KSopGR8tMC0oMCUoKSj/2wBDAQcHBwoIChMKChMoGhYaKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo"
    "KCgoKCgoKCj/wAARCAAgACADASIAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUF"
    "BAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVW"
    "V1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi"
    "4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAEC"
    "AxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVm"
    "Z2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq"
    "8vP09fb3+Pn6/9oADAMBAAIRAxEAPwDh7Gymvr6K0to2eaVwiqOhJ9K70+BY9O8Q2OmXshleQKZQhwAT2FWvhhYxp4409peQMlc9"
    "M4OK67WsTfFq1QHhcdTSzDETpvlg7Hy1KmnHmZynxT8E2egfZX0ZpVEvDIzZ5rzPzngLK4KsDjkd/evfvi8+7V9Kh9wfavG/Flop"
    "169MGBGJCVx0/wA5q8FXnNyhLoLEU4xk7HX2kj2d1FcW52SxkOpx3BrXsNUSTxnDq96QsYGH2gnB9a4a/wBSkRVMALD0WpdL123v"
    "UKj5ZV+8h+8Oa6a9KnVajU3CEJxjzpaHdfELVYdb1m3nsGLRxDAYrjmuOktPM6gMT1J/OrqXKsAV2k98D/PFKZkIwCMdOKulRhSV"
    "o9TKc3N3Z//Z"
)

EXAMPLE = PictureRequest.model_construct(image=RequestImage(_EXAMPLE_PNG, read_picture), explain=False)
"""A valid request (not decoded here: that would import Pillow with every command): a simulated striped ball."""


def decode(requests: Sequence[PictureRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row, with what is measured on each picture."""
    return with_pictures(*decoded(requests, {"explain": pl.Boolean()}, FORMAT.shape))


def answered(model: Ensemble[FitParameters], frame: pl.DataFrame) -> pl.DataFrame:
    """Returns what ``predict`` does but for spoilt copies, with a ``heat_map`` for the requests that ask for one.

    Args:
        model: A trained model.
        frame: What :func:`decode` returns.
    """
    found = answer(model, frame)
    numbers = class_numbers(found["predicted"], model.params.classes)
    return with_heat_maps(found, frame, model.networks, to_pictures, numbers)


def encode(predictions: pl.DataFrame) -> list[PictureResponse]:
    """Predictions to one response for each request, in order."""
    return [
        PictureResponse(
            answer=UNKNOWN if not row["is_known"] else UNSURE if row["is_deferred"] else row["predicted"],
            label=row["predicted"],
            confidence=row["confidence"],
            probabilities=dict(zip(row["classes"], row["probabilities"], strict=True)),
            is_known=row["is_known"],
            heat_map=row.get("heat_map"),
        )
        for row in predictions.iter_rows(named=True)
    ]
