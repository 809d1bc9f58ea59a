"""The small fit of the tests: six hundred exams of a simulated hospital."""

import base64
import io
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from pipelines.medical_image_analysis.data import IngestParameters
from pipelines.medical_image_analysis.model import FitParameters
from pipelines.medical_image_analysis.pipeline import PROJECT
from pipelines.medical_image_analysis.serve import ExamRequest
from pipelines.medical_image_analysis.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[ExamRequest]:
    """The pictures as PNG, with what is known beside them, as a client would send them."""
    return [_request(row) for row in rows.iter_rows(named=True)]


def _request(row: dict[str, Any]) -> ExamRequest:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(row["image"], np.uint8).reshape(28, 28)).save(buffer, "PNG")
    beside = {name: row[name] for name in ("event_time", "scanner_id")}
    return ExamRequest(image=base64.b64encode(buffer.getvalue()).decode(), **beside)


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_exams=600, n_days=60)),
    fit=FitParameters.model_validate({"ensemble_size": 2, "width": 6, "loop": {"epochs": 5, "batch_size": 16}}),
    ceiling=lambda ingest: known_ceiling(ingest.simulation),
    as_requests=as_requests,
    ceiling_slack=0.01,
)
