"""A few simulated pieces and one model fitted on them, shared by the tests of what learns, composes and serves."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from modelyard.project import FitRun
from modelyard.stages.examples import SplitParameters, learning_rows, rows_of, with_split
from pipelines.music_generation.data import CONTRACT, IngestParameters, ingest
from pipelines.music_generation.features import FEATURE_VIEWS, FeatureParameters, derive_features
from pipelines.music_generation.grammar import SimulationParameters
from pipelines.music_generation.model import MusicModel
from pipelines.music_generation.train import FitParameters, fit

SMALL = IngestParameters(simulation=SimulationParameters(n_pieces=160, n_phrases=3))
QUICK = FitParameters(width=32, epochs=5, batch_size=8, dropout=0.1, transpose_semitone=0, learning_rate=0.01)


@dataclass(frozen=True)
class Trained:
    """Examples, the model fitted on them, and what it reported."""

    examples: pl.DataFrame
    model: MusicModel
    reports: list[tuple[int, float]]

    def rows(self, split: str) -> pl.DataFrame:
        return rows_of(self.examples, split)


def with_features(records: pl.DataFrame) -> pl.DataFrame:
    """Records with their collection's style and a split, as the spine joins them."""
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
def pieces() -> pl.DataFrame:
    return ingest(SMALL)


@pytest.fixture(scope="session")
def trained(pieces, tmp_path_factory) -> Trained:
    examples = with_features(pieces)
    return Trained(examples, *fitted(examples, tmp_path_factory.mktemp("fit")))


@pytest.fixture(scope="session")
def refit():
    """``fitted``, for tests that fit once more."""
    return fitted


@pytest.fixture(scope="session")
def small() -> IngestParameters:
    return SMALL
