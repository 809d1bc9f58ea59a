"""A short simulated oscillation and one model fitted on it, shared by the tests of what learns, predicts and serves."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from modelyard.project import FitRun
from modelyard.stages.examples import learning_rows
from modelyard.training.parameters import LoopParameters
from pipelines.climate_pattern_recognition.ceiling import joined_examples
from pipelines.climate_pattern_recognition.data import IngestParameters, ingest
from pipelines.climate_pattern_recognition.model import ForecastModel
from pipelines.climate_pattern_recognition.simulator import SimulationParameters
from pipelines.climate_pattern_recognition.train import FitParameters, NetworkParameters, fit

SMALL = IngestParameters(simulation=SimulationParameters(n_years=12), leads=(1, 5, 10, 20))
QUICK = FitParameters(
    network=NetworkParameters(members=2, width=16),
    loop=LoopParameters(epochs=5, batch_size=64, learning_rate=3e-3),
)


@dataclass(frozen=True)
class Trained:
    """Examples, the model fitted on them, what it reported, and where its checkpoints are."""

    examples: pl.DataFrame
    model: ForecastModel
    reports: list[tuple[int, float]]
    folder: Path

    def rows(self, split: str) -> pl.DataFrame:
        return self.examples.filter(pl.col("split") == split)


def fitted(examples: pl.DataFrame, folder: Path, params: FitParameters = QUICK, stop_at: int | None = None):
    """Fits with one thread; stops with an error at report number ``stop_at``."""
    reports: list[tuple[int, float]] = []

    def report(step: int, value: float) -> None:
        reports.append((step, value))
        if step == stop_at:
            raise InterruptedError

    run = FitRun(seed=0, folder=folder, report=report, n_threads=1)
    return fit(learning_rows(examples), params, run), reports


@pytest.fixture(scope="session")
def small() -> IngestParameters:
    """The world of ``trained``."""
    return SMALL


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    examples, folder = joined_examples(ingest(SMALL)), tmp_path_factory.mktemp("fit")
    return Trained(examples, *fitted(examples, folder), folder)


@pytest.fixture(scope="session")
def refit():
    """``fitted``, for tests that fit once more."""
    return fitted
