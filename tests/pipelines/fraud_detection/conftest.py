"""A small simulated world and one model fitted in it, shared by the tests of what learns, predicts and serves."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from modelyard.project import FitRun
from modelyard.stages.examples import learning_rows
from pipelines.fraud_detection.boosting import BoosterParameters
from pipelines.fraud_detection.data import IngestParameters, PeriodParameters, ingest
from pipelines.fraud_detection.features import FEATURE_VIEWS, FeatureParameters, derive_features
from pipelines.fraud_detection.model import FraudModel
from pipelines.fraud_detection.simulator import SimulationParameters
from pipelines.fraud_detection.train import AlertParameters, FitParameters, NetworkParameters, fit

SMALL = IngestParameters(
    simulation=SimulationParameters(n_customers=400, n_terminals=400, n_days=35, fraud_share=0.03),
    periods=PeriodParameters(train_days=12, valid_days=3, delay_days=7, test_days=6),
)
QUICK = FitParameters(
    booster=BoosterParameters(max_rounds=60, max_bins=256),
    network=NetworkParameters(epochs=3, batch_size=128, learning_rate=5e-3),
    alert=AlertParameters(cards_per_day=10),
)


@dataclass(frozen=True)
class Trained:
    """Examples, the model fitted on them, what it reported, and the function that fits again."""

    examples: pl.DataFrame
    model: FraudModel
    reports: list[tuple[int, float]]

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
    """The world of ``examples``."""
    return SMALL


@pytest.fixture(scope="session")
def examples() -> pl.DataFrame:
    joined = ingest(SMALL)
    for view in FEATURE_VIEWS:
        frame = derive_features(joined, FeatureParameters())[view.name]
        joined = joined.join(frame, on=[view.entity, "event_time"], how="left", maintain_order="left")
    return joined


@pytest.fixture(scope="session")
def trained(examples, tmp_path_factory) -> Trained:
    return Trained(examples, *fitted(examples, tmp_path_factory.mktemp("fit")))


@pytest.fixture(scope="session")
def refit():
    """``fitted``, for tests that fit once more."""
    return fitted
