"""A small simulated hospital and one model fitted in it, shared by the tests of what learns, predicts and serves."""

import polars as pl
import pytest

from modelyard.stages.examples import SplitParameters, with_split
from pipelines.medical_image_analysis.data import IngestParameters, ingest
from pipelines.medical_image_analysis.features import FeatureParameters
from pipelines.medical_image_analysis.pipeline import PROJECT
from pipelines.medical_image_analysis.simulator import SimulationParameters
from pipelines.medical_image_analysis.train import FitParameters
from tests.pipelines.small_fit import Trained, fitter, trained_on, with_features

SMALL = IngestParameters(simulation=SimulationParameters(n_exams=600, n_days=60))
QUICK = FitParameters(n_networks=2, width=6, epochs=5, batch_size=16)


@pytest.fixture(scope="session")
def exams() -> pl.DataFrame:
    return ingest(SMALL)


@pytest.fixture(scope="session")
def refit():
    """Fits once more."""
    return fitter(PROJECT, QUICK)


@pytest.fixture(scope="session")
def trained(exams, refit, tmp_path_factory) -> Trained:
    examples = with_split(with_features(PROJECT, exams, FeatureParameters()), PROJECT.contract, SplitParameters())
    return trained_on(examples, refit, tmp_path_factory.mktemp("fit"))
