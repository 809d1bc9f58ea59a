"""Laws of radiographs, what a request may be, and what the metrics mean; what holds for all projects is in contract."""

import base64
import io

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_curve

from modelyard.errors import DataContractError
from modelyard.serving.server_settings import ServingSettings
from pipelines.medical_image_analysis.evaluate import ScoreParameters, net_benefit, predict, score, sensitivity_at
from pipelines.medical_image_analysis.figures import figures
from pipelines.medical_image_analysis.serve import MAX_TEXT, ExamRequest, encode


def test_validation_decides_epochs_calibration_threshold_and_margin(trained):
    steps, values = zip(*trained.reports, strict=True)
    assert list(steps) == list(range(1, 12))
    assert trained.model.params.best_epochs == (1 + int(np.argmax(values[:5])), 1 + int(np.argmax(values[5:10])))
    decisions = trained.model.params.decisions
    assert None not in (decisions.slope, decisions.intercept, decisions.threshold, decisions.defer_margin)


def test_exams_of_one_class_are_refused(trained, refit, tmp_path):
    with pytest.raises(DataContractError, match="one class"):
        refit(trained.examples.filter("is_pneumonia"), tmp_path)


def test_law_more_cloud_in_the_lung_is_never_less_suspicious(trained):
    test = trained.rows("test").filter(~pl.col("is_pneumonia")).head(30)
    clouded = test["image"].to_numpy().reshape(-1, 28, 28).astype(float)
    y, x = np.mgrid[0:28, 0:28]
    clouded += 110 * np.exp(-((x - 8) ** 2 + (y - 14) ** 2) / 18)
    flat = pl.Series("image", np.clip(clouded, 0, 255).astype(np.uint8).reshape(-1, 784))
    before, after = (predict(trained.model, rows)["score"] for rows in (test, test.with_columns(flat)))
    assert (after > before).mean() > 0.9
    assert after.mean() > before.mean() + 0.2


def test_law_a_scanner_that_is_darker_throughout_changes_little(trained):
    test = trained.rows("test")
    dimmed = pl.Series("image", (test["image"].to_numpy() * 0.8).astype(np.uint8))
    before, after = (predict(trained.model, rows)["score"] for rows in (test, test.with_columns(dimmed)))
    assert (after - before).abs().mean() < 0.02


def test_law_predictions_with_a_margin_are_right_more_often(trained):
    unseen = pl.concat([trained.rows("valid"), trained.rows("test")])
    rows = unseen.drop("image").hstack(predict(trained.model, unseen))
    assert 0.05 < score(rows.filter(pl.col("split") == "valid"), ScoreParameters())["deferred_share"] < 0.15
    # The mean error of the surest so many, over all numbers of them: were a margin worth nothing, that of all exams.
    found = score(rows, ScoreParameters())
    assert found["risk_coverage_area"] < 1 - found["accuracy"] - 0.03


def test_the_three_answers():
    predictions = pl.DataFrame(
        {
            "score": [0.9, 0.1, 0.6],
            "disagreement": [0.0, 0.0, 0.2],
            "is_predicted": [True, False, True],
            "is_deferred": [False, False, True],
        }
    )
    assert [each.answer for each in encode(predictions)] == ["pneumonia", "no pneumonia", "ask a person"]


@pytest.mark.parametrize(
    ("image", "problem"),
    [("not base64!", "no base64"), (base64.b64encode(b"text").decode(), "neither a PNG nor a JPEG")],
)
def test_a_request_without_a_radiograph_is_refused(image, problem):
    with pytest.raises(ValidationError, match=problem):
        ExamRequest(image=image)


def test_the_largest_request_fits_through_the_server():
    assert ServingSettings().max_body_mb * 1_000_000 > MAX_TEXT + 1_000


def test_figures_can_be_drawn(trained):
    test = trained.rows("test")
    drawn = figures(test.hstack(trained.predictions), trained.model)
    assert set(drawn) == {"ranking", "calibration", "decision_curve", "risk_coverage", "least_sure", "grad_cam"}
    for figure in drawn.values():
        figure.savefig(io.BytesIO(), format="png", dpi=30)


def test_metrics_counted_by_hand():
    is_ill, probability = np.array([True, False, True, False]), np.array([0.9, 0.2, 0.3, 0.6])
    # At 0.5: one of two found, one of two alarmed: 1/4 - 1/4 * 1. At 0.25: 2/4 - 1/4 * 1/3.
    assert net_benefit(is_ill, probability, np.array([0.5, 0.25])).tolist() == pytest.approx([0.0, 0.5 - 1 / 12])
    rng = np.random.default_rng(0)
    is_ill, ranks = rng.random(200) < 0.3, rng.integers(0, 30, 200) / 30
    false, true, _ = roc_curve(is_ill, ranks, drop_intermediate=False)
    assert sensitivity_at(is_ill, ranks, 0.9) == pytest.approx(true[1 - false >= 0.9].max())
