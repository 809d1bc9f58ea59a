"""The small fit of the tests: 320 tiles of a simulated coast."""

import base64
import io
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from pipelines.satellite_image_analysis.data import IngestParameters
from pipelines.satellite_image_analysis.model import FitParameters
from pipelines.satellite_image_analysis.pipeline import PROJECT
from pipelines.satellite_image_analysis.serve import TileRequest
from pipelines.satellite_image_analysis.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[TileRequest]:
    """The pictures as PNG, with what is known beside them, as a client would send them."""
    return [_request(row) for row in rows.iter_rows(named=True)]


def _request(row: dict[str, Any]) -> TileRequest:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(row["image"], np.uint8).reshape(128, 128, 3)).save(buffer, "PNG")
    beside = {name: row[name] for name in ("event_time", "region_id")}
    return TileRequest(image=base64.b64encode(buffer.getvalue()).decode(), **beside)


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_tiles=320)),
    fit=FitParameters.model_validate({"input_side": 32, "width": 8, "loop": {"epochs": 8, "batch_size": 16}}),
    ceiling=lambda ingest: known_ceiling(ingest.simulation),
    as_requests=as_requests,
)
