"""The small fit of the tests: a thousand notes."""

import polars as pl

from modelyard.training.parameters import LoopParameters
from pipelines.starter_project.data import IngestParameters
from pipelines.starter_project.model import FitParameters
from pipelines.starter_project.pipeline import PROJECT
from pipelines.starter_project.serve import PartRequest
from pipelines.starter_project.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[PartRequest]:
    """The notes, as a client would send them."""
    return [PartRequest(note=note) for note in rows["note"]]


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_notes=1000)),
    fit=FitParameters(loop=LoopParameters(epochs=5, batch_size=64, learning_rate=5e-3)),
    ceiling=lambda params: known_ceiling(params.simulation),
    as_requests=as_requests,
)
