"""The small fit of the tests: nine hundred sales of a simulated city."""

import polars as pl

from pipelines.house_price_prediction.attributes import ATTRIBUTES
from pipelines.house_price_prediction.data import IngestParameters
from pipelines.house_price_prediction.model import FitParameters
from pipelines.house_price_prediction.pipeline import PROJECT
from pipelines.house_price_prediction.serve import HouseRequest
from pipelines.house_price_prediction.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit

QUICK = {"n_estimators": 40, "learning_rate": 0.15, "max_depth": 3}


def ceiling(params: IngestParameters) -> dict[str, float]:
    """What the conditional mean of the price reaches."""
    return known_ceiling(SMALL.examples(), params.simulation)


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[HouseRequest]:
    """The homes, as a client would send them."""
    names = [name for name in ("event_time", *(each.name for each in ATTRIBUTES)) if name in rows.columns]
    return [HouseRequest.model_validate(row) for row in rows.select(names).to_dicts()]


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_homes=900)),
    fit=FitParameters.model_validate(
        {
            "trees": QUICK,
            "nearby": {"trees": QUICK},
            "interval": {"trees": QUICK},
            "area": {"n_folds": 2, "n_estimators": 20},
            "network": {"loop": {"epochs": 3}},
        }
    ),
    ceiling=ceiling,
    as_requests=as_requests,
)
