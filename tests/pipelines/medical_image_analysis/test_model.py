"""The model learns what there is to learn, admits doubt, keeps its bits, serves what it learnt, sees no future."""

import base64
import io

import numpy as np
import polars as pl
import pytest
from PIL import Image
from pydantic import ValidationError

from modelyard.errors import DataContractError, StorageError
from modelyard.tasks.ranking import average_precision, roc_auc
from pipelines.medical_image_analysis.data import IngestParameters
from pipelines.medical_image_analysis.decisions import Decisions, decide, platt, probabilities, sensitivity_at
from pipelines.medical_image_analysis.evaluate import (
    ScoreParameters,
    figures,
    floor,
    known_ceiling,
    net_benefit,
    predict,
    risks,
    score,
)
from pipelines.medical_image_analysis.features import FeatureParameters, derive_features
from pipelines.medical_image_analysis.model import load, save
from pipelines.medical_image_analysis.serve import EXAMPLE, ExamRequest, decode, encode
from pipelines.medical_image_analysis.simulator import SimulationParameters
from pipelines.medical_image_analysis.train import AugmentationParameters


def metrics_of(rows, predictions):
    return score(rows.drop("image").hstack(predictions), ScoreParameters())


def as_request(pixels, **more) -> ExamRequest:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8).reshape(28, 28)).save(buffer, "PNG")
    return ExamRequest(image=base64.b64encode(buffer.getvalue()).decode(), **more)


def test_the_model_lies_between_the_floor_and_the_known_ceiling(trained):
    test = trained.rows("test")
    trivial = metrics_of(test, floor(trained.rows("train"), test))["roc_auc"]
    ours = metrics_of(test, predict(trained.model, test))["roc_auc"]
    best = known_ceiling(IngestParameters(simulation=SimulationParameters(n_exams=600, n_days=60)))["roc_auc"]
    assert trivial < ours <= best + 0.01  # 90 test rows: chance may lift the model a little above what is known


def test_every_epoch_is_reported_and_validation_decides(trained):
    steps, values = zip(*trained.reports, strict=True)
    assert list(steps) == list(range(1, 12))
    assert trained.model.params.best_epochs == (1 + int(np.argmax(values[:5])), 1 + int(np.argmax(values[5:10])))
    decisions = trained.model.params.decisions
    assert None not in (decisions.slope, decisions.threshold, decisions.refer_margin)


def test_the_same_seed_gives_the_same_bits_with_and_without_validation_rows(trained, refit, tmp_path):
    again, _ = refit(trained.examples, tmp_path / "again")
    test = trained.rows("test")
    assert predict(again, test).equals(predict(trained.model, test))
    rest = trained.examples.filter(pl.col("split") != "valid")
    without, reports = refit(rest, tmp_path / "without", trained.model.params)
    assert reports == []
    assert without.params == trained.model.params
    assert predict(without, test).equals(predict(trained.model, test))


def test_a_loaded_model_predicts_the_same_bits(trained, tmp_path):
    save(trained.model, tmp_path)
    test = trained.rows("test")
    assert load(tmp_path).params == trained.model.params
    assert predict(load(tmp_path), test).equals(predict(trained.model, test))


def test_a_damaged_model_is_said(tmp_path):
    (tmp_path / "params.json").write_text("{")
    with pytest.raises(StorageError, match="cannot be read"):
        load(tmp_path)


def test_exams_of_one_class_are_refused(trained, refit, tmp_path):
    with pytest.raises(DataContractError, match="one class"):
        refit(trained.examples.filter("is_pneumonia"), tmp_path)


def test_a_later_exam_changes_no_earlier_level(exams):
    moment = exams["event_time"].sort()[300]
    is_later = pl.col("event_time") >= moment
    planted = exams.with_columns(pl.when(is_later).then(0.999).otherwise("brightness_ratio").alias("brightness_ratio"))
    before, after = (
        derive_features(rows, FeatureParameters())["scanner_exposure"].sort("event_time", "scanner_id")
        for rows in (exams, planted)
    )
    assert not before.equals(after)
    # Levels at the moment itself are those just before it: the exam's own picture is not among them.
    is_known = pl.col("event_time") <= moment
    assert before.filter(is_known).equals(after.filter(is_known))


def test_too_few_exams_and_unknown_scanners_have_no_level(exams):
    few = exams.sort("event_time").head(12)
    assert derive_features(few, FeatureParameters())["scanner_exposure"]["scanner_brightness_28d"].null_count() == 12
    unknown = exams.with_columns(pl.lit("unknown").alias("scanner_id"))
    levels = derive_features(unknown, FeatureParameters())["scanner_exposure"]
    assert levels["scanner_contrast_28d"].null_count() == levels.height


def test_law_more_cloud_in_the_lung_is_never_less_suspicious(trained):
    test = trained.rows("test").filter(~pl.col("is_pneumonia")).head(30)
    clouded = test["image"].to_numpy().reshape(-1, 28, 28).astype(float)
    y, x = np.mgrid[0:28, 0:28]
    clouded += 110 * np.exp(-((x - 8) ** 2 + (y - 14) ** 2) / 18)
    flat = pl.Series("image", np.clip(clouded, 0, 255).astype(np.uint8).reshape(-1, 784))
    before, after = (predict(trained.model, rows)["score"] for rows in (test, test.with_columns(flat)))
    assert (after > before).mean() > 0.9
    assert after.mean() > before.mean() + 0.2


def test_law_a_scanner_that_is_brighter_throughout_changes_little(trained):
    test = trained.rows("test")
    levels = [name for name in test.columns if name.startswith("scanner_") and name.endswith("_28d")]
    known = test.drop_nulls(levels)
    dimmed = known["image"].to_numpy().astype(float) * 0.9
    brighter = known.with_columns(pl.Series("image", dimmed.astype(np.uint8)), *(pl.col(name) * 0.9 for name in levels))
    before, after = (predict(trained.model, rows)["score"] for rows in (known, brighter))
    assert np.corrcoef(before, after)[0, 1] > 0.99
    blind = predict(trained.model, known.with_columns(brighter["image"]))["score"]
    assert (after - before).abs().mean() < (blind - before).abs().mean()


def test_law_sure_calls_are_right_more_often_than_doubtful_ones(trained):
    unseen = pl.concat([trained.rows("valid"), trained.rows("test")])
    rows = unseen.drop("image").hstack(predict(trained.model, unseen))
    assert 0.05 < score(rows.filter(pl.col("split") == "valid"), ScoreParameters())["referred_share"] < 0.15
    # The mean error of the surest so many, over all numbers of them: were sureness worth nothing, that of all exams.
    found = score(rows, ScoreParameters())
    assert found["risk_coverage_area"] < 1 - found["accuracy"] - 0.03


def test_serving_answers_what_the_batch_predicts(trained):
    rows = trained.rows("test").head(3)
    requests = [
        as_request(
            row["image"],
            scanner_id=row["scanner_id"],
            scanner_brightness_28d=row["scanner_brightness_28d"],
            scanner_contrast_28d=row["scanner_contrast_28d"],
        )
        for row in rows.iter_rows(named=True)
    ]
    served = encode(predict(trained.model, decode(requests)))
    batch = predict(trained.model, rows)
    assert [answer.pneumonia_probability for answer in served] == pytest.approx(batch["score"].to_list(), abs=1e-6)
    assert decode(requests).select("edge_ratio", "dark_share").equals(rows.select("edge_ratio", "dark_share"))


def test_the_three_answers():
    predictions = pl.DataFrame(
        {
            "score": [0.9, 0.1, 0.6],
            "disagreement": [0.0, 0.0, 0.2],
            "is_called": [True, False, True],
            "is_referred": [False, False, True],
        }
    )
    assert [each.answer for each in encode(predictions)] == ["pneumonia", "no pneumonia", "ask a person"]


def test_the_example_is_a_valid_request():
    assert ExamRequest.model_validate(EXAMPLE.model_dump()) == EXAMPLE


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("not base64!", "no base64"),
        (base64.b64encode(b"text").decode(), "neither a PNG nor a JPEG"),
        ("data:image/png;base64,AAAA", "no base64"),
    ],
)
def test_a_request_without_a_radiograph_is_refused(image, problem):
    with pytest.raises(ValidationError, match=problem):
        ExamRequest(image=image)


def test_figures_can_be_drawn(trained):
    test = trained.rows("test")
    rows = test.drop("image").hstack(predict(trained.model, test)).hstack([test["image"]])
    drawn = figures(rows, trained.model)
    assert set(drawn) == {"ranking", "calibration", "decision_curve", "risk_coverage", "most_unsure", "where_it_looks"}
    for figure in drawn.values():
        figure.savefig(io.BytesIO(), format="png", dpi=30)


def test_variations_move_pictures_and_zero_leaves_them():
    import torch

    from pipelines.medical_image_analysis.augmentation import vary

    pictures = torch.rand(4, 28, 28)
    nothing = AugmentationParameters(
        turn_degree=0, shift_share=0, zoom_share=0, contrast_share=0, brightness_share=0, noise=0
    )
    assert torch.allclose(vary(pictures, nothing), pictures, atol=1e-5)
    assert not torch.allclose(vary(pictures, AugmentationParameters()), pictures, atol=1e-2)


def test_ranking_agrees_with_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(0)
    is_ill, ranks = rng.random(200) < 0.3, rng.integers(0, 30, 200) / 30
    assert roc_auc(is_ill, ranks) == pytest.approx(metrics.roc_auc_score(is_ill, ranks))
    assert average_precision(is_ill, ranks) == pytest.approx(metrics.average_precision_score(is_ill, ranks))
    false, true, _ = metrics.roc_curve(is_ill, ranks, drop_intermediate=False)
    assert sensitivity_at(is_ill, ranks, 0.9) == pytest.approx(true[1 - false >= 0.9].max())


def test_metrics_counted_by_hand():
    is_ill, probability = np.array([True, False, True, False]), np.array([0.9, 0.2, 0.3, 0.6])
    # At 0.5: one of two found, one of two alarmed: 1/4 - 1/4 * 1. At 0.25: 2/4 - 1/4 * 1/3.
    assert net_benefit(is_ill, probability, np.array([0.5, 0.25])).tolist() == pytest.approx([0.0, 0.5 - 1 / 12])
    # Surest first: 0.9 (right), 0.2 (right), 0.3 (wrong), 0.6 (wrong).
    assert risks((probability >= 0.5) == is_ill, probability).tolist() == pytest.approx([0, 0, 1 / 3, 0.5])


def test_rows_of_one_class_have_no_ranking():
    rows = pl.DataFrame(
        {"is_pneumonia": [True], "score": [0.9], "is_called": [True], "is_referred": [True], "disagreement": [0.0]}
    )
    found = score(rows, ScoreParameters())
    assert np.isnan([found["roc_auc"], found["specificity"], found["accuracy_when_sure"]]).all()
    assert found["accuracy"] == 1


def test_calibration_corrects_boasting_and_ignores_noise():
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, 4000)
    is_ill = rng.random(4000) < 1 / (1 + np.exp(-honest))
    slope, intercept = platt(3 * honest + 1, is_ill)
    assert (3 * slope, intercept + slope) == pytest.approx((1, 0), abs=0.1)
    assert platt(-honest, is_ill) == (1.0, 0.0)


def test_validation_fills_in_only_what_is_open():
    logits, is_ill = np.array([-2.0, -1.0, 0.5, 1.0, 2.0]), np.array([False, False, False, True, True])
    given = Decisions(slope=1.0, intercept=0.0, refer_share=0.2)
    decided = decide(logits, is_ill, given)
    assert (decided.slope, decided.intercept) == (1.0, 0.0)
    assert probabilities(np.array([0.5]), given)[0] < decided.threshold < probabilities(np.array([1.0]), given)[0]
    assert decide(logits, is_ill, decided) == decided
