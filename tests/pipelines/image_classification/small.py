"""The small fit of the tests: nine hundred simulated figures."""

import base64
import io
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from pipelines.image_classification.data import FORMAT, IngestParameters
from pipelines.image_classification.model import FitParameters
from pipelines.image_classification.pipeline import PROJECT
from pipelines.image_classification.serve import PictureRequest
from pipelines.image_classification.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit


def png(pixels: Any) -> bytes:
    """The file of a picture, given as flat values."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8).reshape(FORMAT.shape)).save(buffer, "PNG")
    return buffer.getvalue()


def request(content: bytes, **more: Any) -> PictureRequest:
    """What a client sends for a file."""
    return PictureRequest(image=base64.b64encode(content).decode(), **more)


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[PictureRequest]:
    """The pictures as PNG, as a client would send them."""
    return [request(png(pixels)) for pixels in rows["image"]]


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_pictures=900)),
    fit=FitParameters.model_validate({"width": 4, "stranger_share": 0.2, "loop": {"epochs": 6, "batch_size": 16}}),
    ceiling=lambda ingest: known_ceiling(ingest.simulation),
    ceiling_slack=0.03,
    as_requests=as_requests,
)
