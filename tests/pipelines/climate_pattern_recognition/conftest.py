"""A short simulated oscillation and one model fitted on it, shared by the tests of what learns, predicts and serves."""

import pytest

from modelyard.training.parameters import LoopParameters
from pipelines.climate_pattern_recognition.ceiling import joined_examples
from pipelines.climate_pattern_recognition.data import IngestParameters, ingest
from pipelines.climate_pattern_recognition.pipeline import PROJECT
from pipelines.climate_pattern_recognition.simulator import SimulationParameters
from pipelines.climate_pattern_recognition.train import FitParameters, NetworkParameters
from tests.pipelines.small_fit import Trained, fitter, trained_on

SMALL = IngestParameters(simulation=SimulationParameters(n_years=12), leads=(1, 5, 10, 20))
QUICK = FitParameters(
    network=NetworkParameters(members=2, width=16),
    loop=LoopParameters(epochs=5, batch_size=64, learning_rate=3e-3),
)


@pytest.fixture(scope="session")
def small() -> IngestParameters:
    """The world of ``trained``."""
    return SMALL


@pytest.fixture(scope="session")
def trained(refit, tmp_path_factory) -> Trained:
    return trained_on(joined_examples(ingest(SMALL)), refit, tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="session")
def refit():
    """Fits once more."""
    return fitter(PROJECT, QUICK)
