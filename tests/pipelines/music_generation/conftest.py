"""A few simulated pieces and one model fitted on them, shared by the tests of what learns, composes and serves."""

import polars as pl
import pytest

from modelyard.stages.examples import SplitParameters, with_split
from pipelines.music_generation.data import IngestParameters, ingest
from pipelines.music_generation.features import FeatureParameters
from pipelines.music_generation.grammar import SimulationParameters
from pipelines.music_generation.pipeline import PROJECT
from pipelines.music_generation.train import FitParameters
from tests.pipelines.small_fit import Trained, fitter, trained_on, with_features

SMALL = IngestParameters(simulation=SimulationParameters(n_pieces=160, n_phrases=3))
QUICK = FitParameters(width=32, epochs=5, batch_size=8, dropout=0.1, transpose_semitone=0, learning_rate=0.01)


@pytest.fixture(scope="session")
def pieces() -> pl.DataFrame:
    return ingest(SMALL)


@pytest.fixture(scope="session")
def refit():
    """Fits once more."""
    return fitter(PROJECT, QUICK)


@pytest.fixture(scope="session")
def trained(pieces, refit, tmp_path_factory) -> Trained:
    examples = with_split(with_features(PROJECT, pieces, FeatureParameters()), PROJECT.contract, SplitParameters())
    return trained_on(examples, refit, tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="session")
def small() -> IngestParameters:
    return SMALL
