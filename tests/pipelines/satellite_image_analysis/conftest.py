"""A small simulated coast and one model fitted in it, shared by the tests of what learns, predicts and serves."""

import polars as pl
import pytest

from modelyard.stages.examples import SplitParameters, with_split
from pipelines.satellite_image_analysis.data import IngestParameters, ingest
from pipelines.satellite_image_analysis.features import FeatureParameters
from pipelines.satellite_image_analysis.pipeline import PROJECT
from pipelines.satellite_image_analysis.simulator import SimulationParameters
from pipelines.satellite_image_analysis.train import FitParameters
from tests.pipelines.small_fit import Trained, fitter, trained_on, with_features

SMALL = IngestParameters(simulation=SimulationParameters(n_tiles=320))
QUICK = FitParameters(input_side=32, width=8, epochs=8, batch_size=16)


@pytest.fixture(scope="session")
def tiles() -> pl.DataFrame:
    return ingest(SMALL)


@pytest.fixture(scope="session")
def refit():
    """Fits once more."""
    return fitter(PROJECT, QUICK)


@pytest.fixture(scope="session")
def trained(tiles, refit, tmp_path_factory) -> Trained:
    examples = with_split(with_features(PROJECT, tiles, FeatureParameters()), PROJECT.contract, SplitParameters())
    return trained_on(examples, refit, tmp_path_factory.mktemp("fit"))
