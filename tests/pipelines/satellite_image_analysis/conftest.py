"""A small simulated coast and one model fitted in it, shared by the tests of what learns, predicts and serves."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from modelyard.project import FitRun
from modelyard.stages.examples import SplitParameters, learning_rows, rows_of, with_split
from pipelines.satellite_image_analysis.data import CONTRACT, IngestParameters, ingest
from pipelines.satellite_image_analysis.features import FEATURE_VIEWS, FeatureParameters, derive_features
from pipelines.satellite_image_analysis.model import TileModel
from pipelines.satellite_image_analysis.simulator import SimulationParameters
from pipelines.satellite_image_analysis.train import FitParameters, fit

SMALL = IngestParameters(simulation=SimulationParameters(n_tiles=320))
QUICK = FitParameters(input_side=32, width=8, epochs=8, batch_size=16)


@dataclass(frozen=True)
class Trained:
    """Examples, the model fitted on them, what it reported, and the function that fits again."""

    examples: pl.DataFrame
    model: TileModel
    reports: list[tuple[int, float]]

    def rows(self, split: str) -> pl.DataFrame:
        return rows_of(self.examples, split)


def with_features(records: pl.DataFrame) -> pl.DataFrame:
    """Records with their region's levels and a split, as the spine joins them."""
    for view in FEATURE_VIEWS:
        frame = derive_features(records, FeatureParameters())[view.name]
        records = records.join(frame, on=[view.entity, "event_time"], how="left", maintain_order="left")
    return with_split(records, CONTRACT, SplitParameters())


def fitted(examples: pl.DataFrame, folder: Path, params: FitParameters = QUICK):
    """Fits with one thread."""
    reports: list[tuple[int, float]] = []
    run = FitRun(seed=0, folder=folder, report=lambda step, value: reports.append((step, value)), n_threads=1)
    return fit(learning_rows(examples), params, run), reports


@pytest.fixture(scope="session")
def tiles() -> pl.DataFrame:
    return ingest(SMALL)


@pytest.fixture(scope="session")
def trained(tiles, tmp_path_factory) -> Trained:
    examples = with_features(tiles)
    return Trained(examples, *fitted(examples, tmp_path_factory.mktemp("fit")))


@pytest.fixture(scope="session")
def refit():
    """``fitted``, for tests that fit once more."""
    return fitted
