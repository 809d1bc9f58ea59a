"""The API: a picture or strokes in, a number out, with what the model saw of each digit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.request_image import Base64Image, RequestImage
from pipelines.handwritten_digit_recognition.data import with_pictures
from pipelines.handwritten_digit_recognition.model import FitParameters, answer
from pipelines.handwritten_digit_recognition.preparation import (
    FORMAT,
    SIDE,
    Digit,
    as_ink,
    cut,
    cut_strokes,
    read_row,
)
from pipelines.handwritten_digit_recognition.simulator import STRANGER

MAX_TEXT = 4_000_000
"""Characters of base64: 3 MB of a file."""

MAX_ROWS = 64
"""Pictures of one request."""

MAX_POINTS = 5_000
"""Points of the strokes of one request."""

UNSURE = "ask a person"
"""Answer beside the numbers and ``no digit``."""

_N_READINGS = 10
"""Readings of a number that are answered with their probabilities: of one digit, all."""


class DigitRequest(BaseModel):
    """A picture or strokes with a digit, or with several in a row."""

    model_config = ConfigDict(extra="forbid")

    image: Annotated[RequestImage, Base64Image(read_row, MAX_TEXT)] | None = Field(
        None,
        description=f"PNG or JPEG in base64, {FORMAT.min_side} pixels or more on each side: ink of any colour on paper"
        f" of any colour, or on nothing (alpha). {SIDE} x {SIDE} pixels are one digit.",
    )
    strokes: list[list[list[FiniteFloat]]] | None = Field(
        None,
        description=f"Instead of `image`: strokes of points [x, y], y from the top, at most {MAX_POINTS:,} in all.",
    )

    @model_validator(mode="after")
    def _is_one_drawing(self) -> Self:
        if (self.image is None) == (self.strokes is None):
            raise ValueError("give either image or strokes")
        if self.strokes is not None:
            if any(len(point) != 2 or max(map(abs, point)) > 1e6 for stroke in self.strokes for point in stroke):
                raise ValueError("strokes: a point is [x, y], two numbers up to a million")
            if sum(map(len, self.strokes)) > MAX_POINTS:
                raise ValueError(f"strokes: more than {MAX_POINTS:,} points")
            cut_strokes(self.strokes)
        return self

    def digits(self) -> list[Digit]:
        """Returns the prepared digits, from left to right."""
        if self.strokes is not None:
            return cut_strokes(self.strokes)
        return cut(as_ink(self.image.pixels)) if self.image is not None else []


class DigitResponse(BaseModel):
    """The answer."""

    answer: str = Field(
        description=f"The number; `{STRANGER}` where a piece is like no digit; `{UNSURE}` where two readings of a digit"
        " are nearly as likely."
    )
    number: str = Field(description="The likeliest reading, leading zeros kept, whatever the answer is.")
    digits: list[int] = Field(description="Its digits, from left to right.")
    confidence: float = Field(description="Its calibrated probability, if all pieces are digits.")
    probabilities: dict[str, float] = Field(
        description=f"Calibrated probability of the {_N_READINGS} likeliest readings; of one digit these are all."
    )
    digit_probabilities: list[list[float]] = Field(description="Probabilities of 0 to 9 for each digit.")
    box_px: list[list[int]] = Field(description="Left, top, width and height of each digit in what was sent.")
    seen: list[list[list[int]]] = Field(
        description=f"What the model sees of each digit: {SIDE} rows of {SIDE} values, paper 0, ink 255."
    )
    is_known: bool = Field(description="Whether all pieces look like digits.")


_EXAMPLE_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAABbUlEQVR4nO2WwXHEIAxFnzOphJRADSmBtOItwbXgEtKCXQK0kBKUg3cz"
    "sUGCzR6SyVgnG4tnSegDg/CYPT04/wScgD8CeDa/5hXA+Z8C8mu+PjnvHd7VnMSwcHSOpY8FSOUfl8LJKuIlF0PliBFBBBhFZIlx2rIJ"
    "d6XgAfd9YKmUwABEpWrdgNBaoxbgVoGGqatwASgaoTQVkAFv9XALMPcFoAJmgI+X4fI2NwjWGmw2lf3bsQq7n1jd0AWoaOjLBuVwHQAf"
    "HHmdAfde3QoaNXBJRK4tXVFRIwUZQ7o9cRBVH2AfjR5CDyBadezZ1r3j2ll3FHFnk+HYdbDoawhaHxy8AMWxKwJLT91no5ZGdwTq3lKr"
    "bIpp9w66ImuA5G462CzAfqAFCIDfv+qCrgFGAD8mEZFl3Eqoza9roSiYmoACOJ7rxnxFjSm4zvmqnFMIAM4xGbNF3xOBNfu1fi36bn1i"
    "Muz3L5on4AT8E8An6Tf44WQNQzgAAAAASUVORK5CYII="
)

EXAMPLE = DigitRequest.model_construct(image=RequestImage(_EXAMPLE_PNG, read_row), strokes=None)
"""A valid request (not decoded here: that would import Pillow with every command): a simulated 5."""


def work(request: DigitRequest) -> float:
    """Returns the pixels that a request causes to be looked at; strokes are drawn on as many as their points say."""
    if request.image is not None:
        return float(request.image.n_pixels)
    return 100.0 * sum(map(len, request.strokes or ()))


def decode(requests: Sequence[DigitRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row.

    Returns:
        ``image`` and what is measured on it, of the first digit; ``pieces`` (pixels of all digits) and ``box_px``.
    """
    found = [request.digits() for request in requests]
    first = np.array([digits[0].pixels for digits in found], np.uint8).reshape(len(found), SIDE, SIDE)
    beside = pl.DataFrame(
        {
            "pieces": [[digit.pixels.ravel().tolist() for digit in digits] for digits in found],
            "box_px": [[list(digit.box) for digit in digits] for digits in found],
        },
        schema={"pieces": pl.List(pl.List(pl.UInt8)), "box_px": pl.List(pl.List(pl.Int64))},
    )
    return with_pictures(beside, first)


def answered(model: Ensemble[FitParameters], frame: pl.DataFrame) -> pl.DataFrame:
    """Returns the columns of ``predictions()`` for the first digit of each request, and what its whole row is read as.

    Args:
        model: A trained model.
        frame: What :func:`decode` returns.

    Returns:
        Row for row also ``number``, ``number_confidence``, ``readings`` and ``reading_probabilities`` (the likeliest
        ones), ``digit_probabilities``, ``is_number_known``, ``is_number_deferred``, ``seen`` and ``box_px``.
    """
    counts = frame["pieces"].list.len().to_list()
    shown = frame.select(pl.col("pieces").explode(empty_as_null=False).list.to_array(SIDE * SIDE).alias("image"))
    found = answer(model, shown)
    starts = np.cumsum([0, *counts[:-1]])
    rows = [_row_of(found[int(start) : int(start) + n]) for start, n in zip(starts, counts, strict=True)]
    whole = pl.DataFrame(
        rows,
        schema={
            "number": pl.String,
            "number_confidence": pl.Float64,
            "readings": pl.List(pl.String),
            "reading_probabilities": pl.List(pl.Float64),
            "digit_probabilities": pl.List(pl.List(pl.Float64)),
            "is_number_known": pl.Boolean,
            "is_number_deferred": pl.Boolean,
        },
        orient="row",
    )
    first: pl.DataFrame = found[starts.tolist()]
    return first.hstack(whole).hstack([frame["pieces"].alias("seen"), frame["box_px"]])


def _row_of(digits: pl.DataFrame) -> tuple[object, ...]:
    """Returns the columns of a row of digits, given the predictions for each of them."""
    probabilities = digits["probabilities"].to_list()
    likeliest = _readings(digits["classes"][0].to_list(), np.array(probabilities))
    return (
        likeliest[0][0],
        likeliest[0][1],
        [reading for reading, _ in likeliest],
        [probability for _, probability in likeliest],
        probabilities,
        bool(digits["is_known"].all()),
        bool(digits["is_deferred"].any()),
    )


def _readings(classes: list[str], probabilities: NDArray[np.float64]) -> list[tuple[str, float]]:
    """Returns the likeliest readings of a row of digits, the likeliest first, with their probabilities.

    Args:
        classes: K names.
        probabilities: Of each digit, shape (D, K); digits are read independently.
    """
    readings = [("", 1.0)]
    for digit in probabilities:
        longer = [(name + one, p * float(q)) for name, p in readings for one, q in zip(classes, digit, strict=True)]
        # The likeliest rows begin with the likeliest rows of all digits but the last.
        readings = sorted(longer, key=lambda reading: -reading[1])[:_N_READINGS]
    return readings


def encode(predictions: pl.DataFrame) -> list[DigitResponse]:
    """Predictions to one response for each request, in order."""
    return [
        DigitResponse(
            answer=STRANGER if not row["is_number_known"] else UNSURE if row["is_number_deferred"] else row["number"],
            number=row["number"],
            digits=[int(digit) for digit in row["number"]],
            confidence=row["number_confidence"],
            probabilities=dict(zip(row["readings"], row["reading_probabilities"], strict=True)),
            digit_probabilities=row["digit_probabilities"],
            box_px=row["box_px"],
            seen=[np.array(piece).reshape(SIDE, SIDE).tolist() for piece in row["seen"]],
            is_known=row["is_number_known"],
        )
        for row in predictions.iter_rows(named=True)
    ]
