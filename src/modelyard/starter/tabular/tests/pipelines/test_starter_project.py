"""What a part's readings tell: nothing of the future, more risk with more vibration, and no half requests."""

import polars as pl
import pytest
from pydantic import ValidationError

from pipelines.starter_project.evaluate import predict
from pipelines.starter_project.features import FeatureParameters, derive_features
from pipelines.starter_project.serve import PartRequest, decode, encode


def test_a_future_reading_changes_no_earlier_feature(trained):
    records = trained.examples
    moment = records["event_time"].sort()[records.height // 2]
    is_later = pl.col("event_time") > moment
    changed = records.with_columns(pl.when(is_later).then(999.0).otherwise("vibration_mm_s").alias("vibration_mm_s"))
    before, after = (derive_features(table, FeatureParameters())["part_condition"] for table in (records, changed))
    assert not before.equals(after)
    assert before.filter(~is_later).equals(after.filter(~is_later))


def test_a_part_that_shakes_more_is_not_safer(trained):
    calm = PartRequest(age_d=100.0, temperatures_c=[60.0] * 4, vibrations_mm_s=[2.0] * 4)
    shaking = calm.model_copy(update={"vibrations_mm_s": [6.0] * 4})
    safe, risky = encode(predict(trained.model, decode([calm, shaking])))
    assert safe.failure_probability < risky.failure_probability


def test_a_request_with_a_missing_reading_is_refused():
    with pytest.raises(ValidationError, match="2 temperatures and 1 vibrations"):
        PartRequest(age_d=1.0, temperatures_c=[60.0, 61.0], vibrations_mm_s=[2.0])
