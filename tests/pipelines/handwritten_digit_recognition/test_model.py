"""Laws of digits, what a request may be, and what the metrics mean; what holds for all projects is in contract."""

import base64
import io
import json

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from modelyard.errors import ConfigurationError
from modelyard.monitoring.reference import MonitorParameters, summarise_reference
from modelyard.monitoring.verdict import judge
from modelyard.project import FitRun
from pipelines.handwritten_digit_recognition.data import prepared, with_pictures
from pipelines.handwritten_digit_recognition.evaluate import ScoreParameters, score
from pipelines.handwritten_digit_recognition.figures import figures
from pipelines.handwritten_digit_recognition.model import FitParameters, answer
from pipelines.handwritten_digit_recognition.pipeline import PROJECT
from pipelines.handwritten_digit_recognition.preparation import draw_strokes
from pipelines.handwritten_digit_recognition.serve import (
    UNSURE,
    DigitRequest,
    _readings,
    answered,
    decode,
    encode,
    work,
)
from pipelines.handwritten_digit_recognition.simulator import (
    CLASSES,
    STRANGER,
    SimulationParameters,
    simulate,
    strokes_of,
)
from pipelines.handwritten_digit_recognition.train import fit
from tests.pipelines.handwritten_digit_recognition.small import png, request


def strokes(*digits: int, slant: float = 0.1) -> list:
    """Plain digits in a row, as a client sends them."""
    lean = np.array([[1, 0], [-slant, 1]])
    return [
        (100 * ((points - [0, 0.5]) @ lean) + [100 * place, 60]).tolist()
        for place, digit in enumerate(digits)
        for points in strokes_of(digit)
    ]


def canvas(*digits: int, pen: float = 9.0, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    """The same, drawn dark on white."""
    moved = [np.array(stroke) + np.array([40 + dx, 30 + dy]) for stroke in strokes(*digits)]
    return (255 - draw_strokes(moved, 100 * len(digits) + 80, 180, pen)).astype(np.uint8)


def ask(trained, *requests: DigitRequest):
    return encode(answered(trained.model, decode(requests)))


def test_validation_decides_epochs_temperature_and_both_bounds(trained):
    assert [step for step, _ in trained.reports] == list(range(1, 7))
    decisions = trained.model.params.decisions
    assert None not in (decisions.temperature, decisions.defer_margin, decisions.max_unknown_score)
    assert trained.model.params.classes == CLASSES


def test_law_a_number_is_read_wherever_and_in_whatever_ink(trained):
    plain, moved, inverted = ask(
        trained,
        request(canvas(2, 0, 6, 5)),
        request(canvas(2, 0, 6, 5, dx=20, dy=-20)),
        request(255 - canvas(2, 0, 6, 5)),
    )
    assert plain.number == moved.number == inverted.number == "2065"
    for other in (moved, inverted):
        assert other.confidence == pytest.approx(plain.confidence, abs=0.02)
        assert np.abs(np.array(other.seen) - np.array(plain.seen)).max() <= 2
    assert np.array(moved.box_px)[:, :2].tolist() == (np.array(plain.box_px)[:, :2] + [20, -20]).tolist()


def test_law_a_turned_6_is_a_9(trained):
    six, nine = ask(trained, request(canvas(6)), request(canvas(6)[::-1, ::-1]))
    assert (six.number, nine.number) == ("6", "9")


def test_law_a_pixel_thicker_changes_next_to_nothing(trained):
    found = [ask(trained, *(request(canvas(digit, pen=pen)) for digit in range(10))) for pen in (9, 10)]
    before, after = (np.array([one.digit_probabilities[0] for one in part]) for part in found)
    assert np.abs(after - before).mean() < 0.02
    assert (after.argmax(axis=1) == before.argmax(axis=1)).mean() >= 0.9


def test_law_a_scribble_is_doubted_more_than_a_digit(trained):
    found = answer(trained.model, trained.rows("test"))
    is_stranger = (trained.rows("test")["label"] == STRANGER).to_numpy()
    doubt = found["unknown_score"].to_numpy()
    assert np.median(doubt[is_stranger]) > np.median(doubt[~is_stranger])
    assert found["is_known"].to_numpy()[~is_stranger].mean() > 0.85


def served(seed: int, drift: float) -> pl.DataFrame:
    """Records of another month, as requests would bring them; with the pens that the last days have."""
    rows, drawn = simulate(SimulationParameters(n_pictures=600, seed=seed, drift=drift))
    return with_pictures(rows, prepared(drawn)).tail(300).drop("label")


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
    assert {"stroke_width_px", "ink_share"} <= {one["name"] for one in changed["columns"] if one["is_drifted"]}


def test_strokes_are_answered_as_their_picture_is(trained):
    drawn, sent = ask(trained, request(canvas(0, 5)), DigitRequest(strokes=strokes(0, 5)))
    assert drawn.number == sent.number == "05"
    assert sent.digits == [0, 5]
    assert np.abs(np.array(drawn.seen) - np.array(sent.seen)).mean() < 8


def test_the_answer_says_what_was_seen_where_and_what_else_it_may_be(trained):
    (found,) = ask(trained, request(canvas(6, 4)))
    assert len(found.digits) == len(found.box_px) == len(found.seen) == len(found.digit_probabilities) == 2
    assert np.array(found.seen).shape == (2, 28, 28)
    assert np.array(found.digit_probabilities).sum(axis=1) == pytest.approx(1)
    assert len(found.probabilities) == 10
    assert next(iter(found.probabilities)) == found.number
    assert found.confidence == max(found.probabilities.values())
    assert found.answer in (found.number, UNSURE, STRANGER)
    assert json.loads(found.model_dump_json())["number"] == found.number


def test_readings_are_the_likeliest_products():
    classes = [str(n) for n in range(4)]
    digits = np.random.default_rng(0).dirichlet(np.ones(4), size=3)
    found = _readings(classes, digits)
    every = {
        f"{a}{b}{c}": digits[0, a] * digits[1, b] * digits[2, c] for a in range(4) for b in range(4) for c in range(4)
    }
    assert [name for name, _ in found] == sorted(every, key=lambda name: -every[name])[:10]
    assert dict(found) == pytest.approx({name: every[name] for name, _ in found})
    assert sum(p for _, p in _readings(classes, digits[:1])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({}, "either image or strokes"),
        ({"image": "not base64!"}, "no base64"),
        ({"image": base64.b64encode(b"text").decode()}, "neither a PNG nor a JPEG"),
        ({"image": base64.b64encode(png(np.full((60, 60), 255))).decode()}, "canvas is empty"),
        ({"strokes": []}, "no point in any stroke"),
        ({"strokes": [[[1, 2, 3]]]}, "a point is"),
        ({"strokes": [[[1, 1e9]]]}, "a point is"),
        ({"strokes": [[[1, 2]] * 5_001]}, "more than 5,000 points"),
        (
            {"strokes": [[[0, 0], [1, 1]]], "image": base64.b64encode(png(canvas(5))).decode()},
            "either image or strokes",
        ),
    ],
)
def test_a_request_without_a_digit_is_refused(sent, problem):
    with pytest.raises(ValidationError, match=problem):
        DigitRequest.model_validate(sent)


def test_an_empty_canvas_is_refused_where_the_server_decodes():
    body = json.dumps({"image": base64.b64encode(png(np.full((60, 60), 255))).decode()})
    told = DigitRequest.model_validate_json(body)
    with pytest.raises(ValueError, match="canvas is empty"):
        told.image.decode_media()


def test_the_work_of_a_request_is_its_pixels():
    assert work(request(canvas(5))) == 180 * 180
    assert work(DigitRequest(strokes=strokes(5))) == 100 * sum(map(len, strokes(5)))


def test_mirrored_training_is_refused(trained, tmp_path):
    run = FitRun(seed=0, folder=tmp_path, report=lambda step, value: None, n_threads=1)
    with pytest.raises(ConfigurationError, match="mirrored"):
        fit(trained.examples, FitParameters(is_mirrored_too=True), run)
    with pytest.raises(ConfigurationError, match="mirrored"):
        fit(trained.examples, FitParameters.model_validate({"augmentation": {"flip_share": 0.5}}), run)


def test_figures_can_be_drawn(trained):
    drawn = figures(trained.rows("test").hstack(trained.predictions), trained.model)
    assert set(drawn) == {
        *("confusion", "calibration", "risk_coverage", "corruptions", "unknown", "redrawn"),
        *("most_wrong", "least_sure", "grad_cam"),
    }
    for figure in drawn.values():
        figure.savefig(io.BytesIO(), format="png", dpi=30)


def test_metrics_counted_by_hand():
    rows = pl.DataFrame(
        {
            "label": ["1", "2", "2", STRANGER],
            "origin": ["mnist", "mnist", "mnist", "fashion_mnist"],
            "predicted": ["1", "1", "2", "1"],
            "classes": [["1", "2", "3", "4"]] * 4,
            "probabilities": [[0.7, 0.1, 0.1, 0.1], [0.4, 0.1, 0.2, 0.3], [0.0, 1.0, 0.0, 0.0], [0.25] * 4],
            "confidence": [0.7, 0.4, 1.0, 0.25],
            "margin": [2.0, 0.2, 9.0, 0.0],
            "unknown_score": [-3.0, -1.0, -2.0, -1.5],
            "is_known": [True, False, True, True],
            "is_deferred": [False, True, False, True],
            "corrupted_predicted": ["1", "1", "1", "2"],
            "manner": ["five in a row", "thin", "five in a row", "thin"],
            "redrawn_predicted": ["1", "2", STRANGER, "1"],
        }
    )
    expected = {
        "accuracy": 2 / 3,
        "redrawn_accuracy": 2 / 3,
        "number_accuracy": 1 / 2,
        "corrupted_accuracy": 1 / 3,
        "unknown_auroc": 2 / 3,
        "selective_accuracy": 1.0,
    }
    found = score(rows, ScoreParameters())
    assert next(iter(found)) == "accuracy"
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    served = score(rows.drop("corrupted_predicted", "manner", "redrawn_predicted"), ScoreParameters())
    assert served["accuracy"] == found["accuracy"]
    assert np.isnan(served["redrawn_accuracy"])
