"""The small fit of the tests: five weeks of four hundred simulated customers."""

import polars as pl

from pipelines.fraud_detection.data import IngestParameters, PeriodParameters, ingest
from pipelines.fraud_detection.model import FitParameters
from pipelines.fraud_detection.pipeline import PROJECT
from pipelines.fraud_detection.serve import FraudRequest
from pipelines.fraud_detection.simulator import known_ceiling
from pipelines.fraud_detection.world import SimulationParameters
from tests.pipelines.small_fit import SmallFit


def ceiling(params: IngestParameters) -> dict[str, float]:
    """What the best detector that knows what can be known would reach."""
    found = known_ceiling(ingest(params), params.simulation, params.periods.delay_days)
    return {"average_precision": found["average_precision_informed"]}


_FIELDS = [name for name in FraudRequest.model_fields if name != "further"]


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[FraudRequest]:
    """The transactions with their features, as a client would send them."""
    return [FraudRequest.model_validate(row) for row in rows.select(_FIELDS).to_dicts()]


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(
        simulation=SimulationParameters(n_customers=400, n_terminals=400, n_days=35, fraud_share=0.03),
        periods=PeriodParameters(train_days=12, valid_days=3, delay_days=7, test_days=6),
    ),
    fit=FitParameters.model_validate(
        {
            "booster": {"n_estimators": 60, "max_bin": 256},
            "network": {"loop": {"epochs": 3, "batch_size": 128, "learning_rate": 5e-3}},
            "alert": {"cards_per_day": 10},
        }
    ),
    ceiling=ceiling,
    as_requests=as_requests,
)
