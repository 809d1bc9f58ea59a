"""The small fit of the tests: nine hundred simulated digits."""

import base64
import io
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from pipelines.handwritten_digit_recognition.data import IngestParameters
from pipelines.handwritten_digit_recognition.model import FitParameters
from pipelines.handwritten_digit_recognition.pipeline import PROJECT
from pipelines.handwritten_digit_recognition.serve import DigitRequest
from pipelines.handwritten_digit_recognition.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit


def png(pixels: Any) -> bytes:
    """The file of a picture, (H, W) or with channels."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def request(pixels: Any) -> DigitRequest:
    """What a client sends for a picture."""
    return DigitRequest(image=base64.b64encode(png(pixels)).decode())


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[DigitRequest]:
    """The prepared digits as PNG, as a client would send them."""
    return [request(np.asarray(pixels, np.uint8).reshape(28, 28)) for pixels in rows["image"]]


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_pictures=900)),
    fit=FitParameters.model_validate({"width": 4, "stranger_share": 0.2, "loop": {"epochs": 5, "batch_size": 16}}),
    ceiling=lambda ingest: known_ceiling(ingest.simulation),
    ceiling_slack=0.03,
    as_requests=as_requests,
)
