"""Laws of tiles, what a request may be, and what the metrics mean; what holds for all projects is in contract."""

import base64
import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from modelyard.errors import DataContractError
from pipelines.satellite_image_analysis.evaluate import ScoreParameters, predict, score
from pipelines.satellite_image_analysis.figures import figures
from pipelines.satellite_image_analysis.serve import TileRequest, encode
from pipelines.satellite_image_analysis.simulator import _scene


def test_validation_decides_epochs_calibration_threshold_and_margin(trained):
    steps, values = zip(*trained.reports, strict=True)
    assert list(steps) == list(range(1, 10))
    assert trained.model.params.best_epochs == (1 + int(np.argmax(values[:8])),)
    decisions = trained.model.params.decisions
    assert None not in (decisions.slope, decisions.intercept, decisions.threshold, decisions.defer_margin)


def test_tiles_of_one_class_are_refused(trained, refit, tmp_path):
    with pytest.raises(DataContractError, match="one class"):
        refit(trained.examples.filter("is_damaged"), tmp_path)


def test_law_a_mirrored_or_turned_tile_is_the_same_building(trained):
    test = trained.rows("test")
    model = trained.model.params.model_copy(update={"n_views": 8})
    all_ways = replace(trained.model, params=model)
    pixels = test["image"].to_numpy().reshape(-1, 128, 128, 3)
    for other in (pixels[:, ::-1], pixels[:, :, ::-1], np.rot90(pixels, 1, (1, 2))):
        turned = test.with_columns(pl.Series("image", np.ascontiguousarray(other).reshape(len(test), -1)))
        before, after = (predict(all_ways, rows)["score"].to_numpy() for rows in (test, turned))
        assert after == pytest.approx(before, abs=1e-3)


def test_law_the_same_place_after_a_worse_storm_is_more_suspicious(trained):
    rows = trained.rows("test").head(24)
    nothing = np.zeros(24, np.float32)
    scores = []
    for severity in (0.05, 0.5, 1.2):
        scene = _scene(nothing + np.float32(severity), nothing, np.random.default_rng(5))
        pixels = np.clip(255 * scene, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1).reshape(24, -1)
        scores.append(predict(trained.model, rows.with_columns(pl.Series("image", pixels)))["score"])
    calm, storm, hurricane = scores
    assert calm.mean() < storm.mean() < hurricane.mean()
    assert (hurricane > calm).mean() > 0.8


def test_law_light_that_all_of_a_tile_shares_changes_little(trained):
    test = trained.rows("test")
    dimmed = pl.Series("image", (test["image"].to_numpy() * 0.8).astype(np.uint8))
    before, after = (predict(trained.model, rows)["score"] for rows in (test, test.with_columns(dimmed)))
    assert (after - before).abs().mean() < 0.02


def test_the_three_answers():
    predictions = pl.DataFrame(
        {
            "score": [0.9, 0.1, 0.6],
            "disagreement": [0.0, 0.0, 0.2],
            "is_predicted": [True, False, True],
            "is_deferred": [False, False, True],
        }
    )
    assert [each.answer for each in encode(predictions)] == ["damaged", "not damaged", "look yourself"]


@pytest.mark.parametrize(
    ("image", "problem"),
    [("not base64!", "no base64"), (base64.b64encode(b"text").decode(), "neither a PNG nor a JPEG")],
)
def test_a_request_without_a_tile_is_refused(image, problem):
    with pytest.raises(ValidationError, match=problem):
        TileRequest(image=image)


def test_figures_can_be_drawn(trained):
    test = trained.rows("test")
    drawn = figures(test.hstack(trained.predictions), trained.model)
    assert set(drawn) == {"ranking", "calibration", "risk_coverage", "least_sure", "grad_cam", "map"}
    for figure in drawn.values():
        figure.savefig(io.BytesIO(), format="png", dpi=30)


def test_metrics_counted_by_hand():
    rows = pl.DataFrame(
        {
            "is_damaged": [True, True, False, False],
            "score": [0.9, 0.4, 0.6, 0.1],
            "margin": [2.2, 0.4, 0.4, 2.2],
            "is_predicted": [True, False, True, False],
            "is_deferred": [False, True, False, False],
            "is_new_place": [True, True, False, None],
        }
    )
    found = score(rows, ScoreParameters(budget_share=0.5))
    assert {name: found[name] for name in ("accuracy", "found_in_budget", "roc_auc")} == {
        "accuracy": 0.5,
        "found_in_budget": 0.5,
        "roc_auc": 0.75,
    }
    assert (found["accuracy_new_place"], found["accuracy_known_place"]) == (0.5, 0.0)
    assert np.isnan(score(rows.drop("is_new_place"), ScoreParameters())["accuracy_new_place"])
