"""How good could any forecast be? On simulated series the best one is known: it knows the rules and the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.scoring import rows_of
from pipelines.climate_pattern_recognition.data import IngestParameters, ingest
from pipelines.climate_pattern_recognition.evaluate import ScoreParameters, floor, score
from pipelines.climate_pattern_recognition.features import FEATURE_VIEWS, FeatureParameters, derive_features
from pipelines.climate_pattern_recognition.simulator import perfect_forecast, simulate

if TYPE_CHECKING:
    import polars as pl


def ceiling_scores(params: IngestParameters) -> dict[str, float]:
    """Metrics of the best possible forecast on the test rows, its skill measured against the same linear rule.

    Args:
        params: Those of a run with ``source: simulated``.
    """
    examples = joined_examples(ingest(params))
    test = rows_of(examples, "test")
    perfect = with_perfect_forecasts(floor(rows_of(examples, "train"), test), test, params)
    return score(test.hstack(perfect), ScoreParameters())


def joined_examples(records: pl.DataFrame) -> pl.DataFrame:
    """Records with their features, as the feature store would join them: each row has those of its own time."""
    view = FEATURE_VIEWS[0]
    features = derive_features(records, FeatureParameters())[view.name]
    return records.join(features, on=[view.entity, "event_time"], how="left", maintain_order="left")


def with_perfect_forecasts(predictions: pl.DataFrame, rows: pl.DataFrame, params: IngestParameters) -> pl.DataFrame:
    """Puts the best possible forecast of each row into the columns ``forecast_*``."""
    import polars as pl

    times = simulate(params.simulation)["event_time"]
    parts = []
    for lead in rows["lead_count"].unique().sort().to_list():
        mean, spread = perfect_forecast(params.simulation, lead)
        columns = {
            "forecast_first": mean[:, 0],
            "forecast_second": mean[:, 1],
            "forecast_first_spread": spread[:, 0],
            "forecast_second_spread": spread[:, 1],
        }
        parts.append(pl.DataFrame({"event_time": times, **columns}).with_columns(lead_count=pl.lit(lead, pl.Int64)))
    perfect = rows.select("event_time", "lead_count").join(
        pl.concat(parts), on=["event_time", "lead_count"], how="left", maintain_order="left"
    )
    return predictions.with_columns(perfect.drop("event_time", "lead_count"))
