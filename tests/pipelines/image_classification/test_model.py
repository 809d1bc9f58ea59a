"""Laws of pictures, what a request may be, and what the metrics mean; what holds for all projects is in contract."""

import base64
import io
import itertools
import json

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from modelyard.monitoring.reference import MonitorParameters, summarise_reference
from modelyard.monitoring.verdict import judge
from modelyard.tasks.images.corruptions import corrupt
from pipelines.image_classification.data import with_pictures
from pipelines.image_classification.evaluate import ScoreParameters, score
from pipelines.image_classification.figures import figures
from pipelines.image_classification.model import answer
from pipelines.image_classification.pipeline import PROJECT
from pipelines.image_classification.serve import UNKNOWN, UNSURE, PictureRequest, answered, decode, encode
from pipelines.image_classification.simulator import CLASSES, STRANGER, SimulationParameters, simulate
from tests.pipelines.image_classification.small import png, request


def with_image(rows: pl.DataFrame, pictures: np.ndarray) -> pl.DataFrame:
    flat = np.ascontiguousarray(pictures).reshape(len(pictures), -1)
    return rows.with_columns(pl.Series("image", flat))


def pictures_of(rows: pl.DataFrame) -> np.ndarray:
    return rows["image"].to_numpy().reshape(-1, 32, 32, 3)


def test_validation_decides_epochs_temperature_and_both_bounds(trained):
    steps, values = zip(*trained.reports, strict=True)
    assert list(steps) == list(range(1, 8))
    assert trained.model.params.best_epochs == (1 + int(np.argmax(values[:6])),)
    decisions = trained.model.params.decisions
    assert None not in (decisions.temperature, decisions.defer_margin, decisions.max_unknown_score)
    assert trained.model.params.classes == CLASSES


def test_law_a_mirrored_picture_is_of_the_same_class(trained):
    test = trained.rows("test")
    before, after = (
        np.stack(answer(trained.model, rows)["probabilities"].to_list())
        for rows in (test, with_image(test, pictures_of(test)[:, :, ::-1]))
    )
    assert after == pytest.approx(before, abs=1e-4)


def test_law_a_picture_of_nothing_is_of_no_class(trained):
    rows = trained.rows("test").head(9)
    plain = np.broadcast_to(np.linspace(20, 235, 9).reshape(9, 1, 1, 1), (9, 32, 32, 3)).astype(np.uint8)
    assert not answer(trained.model, with_image(rows, plain))["is_known"].any()
    assert answer(trained.model, trained.rows("test"))["is_known"].mean() > 0.8


def test_law_more_noise_never_makes_surer(trained):
    rows = trained.rows("test")
    sureness = [answer(trained.model, rows)["confidence"].mean()]
    for strength in (8, 16, 32):
        noise = strength * np.random.default_rng(0).standard_normal((rows.height, 32, 32, 3))
        noisy = np.clip(pictures_of(rows) + noise, 0, 255).astype(np.uint8)
        sureness.append(answer(trained.model, with_image(rows, noisy))["confidence"].mean())
    assert all(later < earlier + 0.01 for earlier, later in itertools.pairwise(sureness)), sureness
    assert sureness[-1] < sureness[0] - 0.05


def test_law_a_frame_of_two_pixels_keeps_sure_answers(trained):
    rows = trained.rows("test").filter(pl.col("label") != STRANGER)
    before = answer(trained.model, rows)
    framed = pictures_of(rows).copy()
    for edge in (np.s_[:, :2], np.s_[:, -2:], np.s_[:, :, :2], np.s_[:, :, -2:]):
        framed[edge] = 90
    after = answer(trained.model, with_image(rows, framed))["predicted"]
    is_sure = (before["margin"] > before["margin"].median()).to_numpy()
    assert (after == before["predicted"]).to_numpy()[is_sure].mean() > 0.85


def served(seed: int, drift: float) -> pl.DataFrame:
    """Records of another month, as requests would bring them; with the camera that the last days have."""
    made = simulate(SimulationParameters(n_pictures=600, seed=seed, drift=drift))
    return with_pictures(*made).tail(300).drop("label")


def test_a_planted_drift_is_found_and_an_unchanged_stream_is_quiet(trained):
    learnt, test = (trained.rows(split).drop("image") for split in ("train", "test"))
    params = MonitorParameters()
    summary = summarise_reference(PROJECT, test, trained.predictions, learnt, params).summary
    verdicts = []
    for drift in (0.0, 1.0):
        rows = served(seed=7, drift=drift)
        verdicts.append(judge(PROJECT, summary, rows.drop("image").hstack(answer(trained.model, rows)), params))
    quiet, changed = verdicts
    assert not quiet["is_drifted"], quiet["alarms"]
    assert {"brightness_ratio", "edge_ratio"} <= {one["name"] for one in changed["columns"] if one["is_drifted"]}
    assert set(quiet["not_served"]) == {"corrupted_predicted", "corruption", "corruption_severity"}


def test_what_spoils_a_picture_costs_accuracy(trained):
    rows = trained.rows("test").filter(pl.col("label") != STRANGER)
    right = [
        (answer(trained.model, with_image(rows, made))["predicted"] == rows["label"]).mean()
        for made in (pictures_of(rows), corrupt(pictures_of(rows), "contrast", 5))
    ]
    assert right[1] < right[0]


def test_the_kinds_of_answers():
    rows = pl.DataFrame(
        {
            "predicted": ["a", "b", "a"],
            "classes": [["a", "b"]] * 3,
            "probabilities": [[0.9, 0.1], [0.45, 0.55], [0.7, 0.3]],
            "confidence": [0.9, 0.55, 0.7],
            "is_known": [True, True, False],
            "is_deferred": [False, True, False],
        }
    )
    found = encode(rows)
    assert [one.answer for one in found] == ["a", UNSURE, UNKNOWN]
    assert [one.label for one in found] == ["a", "b", "a"]
    assert found[1].probabilities == {"a": 0.45, "b": 0.55}


def test_a_request_may_ask_where_the_answer_comes_from(trained):
    rows = trained.rows("test").head(3)
    asked = [request(png(pixels), explain=number == 1) for number, pixels in enumerate(rows["image"])]
    found = encode(answered(trained.model, decode(asked)))
    assert [one.heat_map is None for one in found] == [True, False, True]
    heat = np.array(found[1].heat_map)
    assert heat.shape == (4, 4)
    assert heat.min() >= 0
    assert heat.max() == pytest.approx(1, abs=1e-3)
    assert json.loads(found[1].model_dump_json())["label"] in CLASSES


@pytest.mark.parametrize(
    ("image", "problem"),
    [("not base64!", "no base64"), (base64.b64encode(b"text").decode(), "neither a PNG nor a JPEG")],
)
def test_a_request_without_a_picture_is_refused(image, problem):
    with pytest.raises(ValidationError, match=problem):
        PictureRequest(image=image)


def test_figures_can_be_drawn(trained):
    test = trained.rows("test")
    drawn = figures(test.hstack(trained.predictions), trained.model)
    assert set(drawn) == {
        *("confusion", "calibration", "risk_coverage", "corruptions", "unknown"),
        *("most_wrong", "least_sure", "grad_cam"),
    }
    for figure in drawn.values():
        figure.savefig(io.BytesIO(), format="png", dpi=30)


def test_metrics_counted_by_hand():
    rows = pl.DataFrame(
        {
            "label": ["a", "b", "b", STRANGER, STRANGER],
            "origin": ["x", "x", "x", "y", "noise"],
            "predicted": ["a", "a", "b", "a", "b"],
            "classes": [["a", "b", "c", "d"]] * 5,
            "probabilities": [[0.7, 0.1, 0.1, 0.1], [0.4, 0.1, 0.2, 0.3], [0.0, 1.0, 0.0, 0.0]] + [[0.25] * 4] * 2,
            "confidence": [0.7, 0.4, 1.0, 0.25, 0.25],
            "margin": [2.0, 0.2, 9.0, 0.0, 0.0],
            "unknown_score": [-3.0, -1.0, -2.0, -1.5, 5.0],
            "is_known": [True, False, True, True, False],
            "is_deferred": [False, True, False, True, True],
            "corrupted_predicted": ["a", "a", "a", "b", "b"],
        }
    )
    found = score(rows, ScoreParameters())
    expected = {
        "accuracy": 2 / 3,
        "top_3_accuracy": 2 / 3,
        "corrupted_accuracy": 1 / 3,
        "unknown_auroc": 2 / 3,
        "unknown_auroc_blank": 1.0,
        "unknown_found_share": 0.0,
        "unknown_alarm_share": 1 / 3,
        "selective_accuracy": 1.0,
        "deferred_share": 1 / 3,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
