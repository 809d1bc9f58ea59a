"""The small fit of the tests: five hundred pictures."""

import base64
import io
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from modelyard.training.parameters import LoopParameters
from pipelines.starter_project.data import FORMAT, IngestParameters
from pipelines.starter_project.model import FitParameters
from pipelines.starter_project.pipeline import PROJECT
from pipelines.starter_project.serve import PartRequest
from pipelines.starter_project.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit


def png(pixels: Any) -> bytes:
    """The file of a picture, given as flat values."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8).reshape(FORMAT.shape)).save(buffer, "PNG")
    return buffer.getvalue()


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[PartRequest]:
    """The pictures as PNG, as a client would send them."""
    texts = [base64.b64encode(png(pixels)).decode() for pixels in rows["image"]]
    return [PartRequest.model_validate({"image": text}) for text in texts]


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_pictures=500)),
    fit=FitParameters(width=4, loop=LoopParameters(epochs=4, batch_size=16, learning_rate=5e-3)),
    ceiling=lambda params: known_ceiling(params.simulation),
    ceiling_slack=0.02,
    as_requests=as_requests,
)
