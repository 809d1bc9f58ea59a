"""Classes by name: what a fit decides, what an answer says, and what the metrics of known and unknown rows are."""

import io

import numpy as np
import optuna
import polars as pl
import pytest
import torch

from modelyard.errors import DataContractError
from modelyard.project import FitRun
from modelyard.tasks.ensemble import Ensemble, save_ensemble
from modelyard.tasks.images.multiclass_classifier import (
    MulticlassParameters,
    build_network,
    calibrated_likelihood,
    class_numbers,
    fit_multiclass,
    linear_floor,
    load_multiclass,
    logits_of,
    predictions,
    search_space,
    views,
)
from modelyard.tasks.images.multiclass_figures import mean_heat, multiclass_figures
from modelyard.tasks.images.multiclass_metrics import multiclass_scores, with_corrupted
from modelyard.tasks.images.resnet import as_pictures

SHAPE = (16, 16)
PARAMS = MulticlassParameters.model_validate(
    {"width": 4, "stranger_share": 0.1, "loop": {"epochs": 4, "batch_size": 16}, "augmentation": {"flip_share": 0}}
)


def bars(n: int, split: str, seed: int) -> pl.DataFrame:
    """Pictures with a horizontal, a vertical or no bar, in noise."""
    rng = np.random.default_rng(seed)
    values = 40 * rng.random((n, *SHAPE)) + 60
    names = np.array(["across", "none", "upright"])[np.arange(n) % 3]
    at = rng.integers(4, 11, n)
    for number, (name, place) in enumerate(zip(names, at, strict=True)):
        if name == "across":
            values[number, place : place + 3] += 100
        elif name == "upright":
            values[number, :, place : place + 3] += 100
    flat = values.astype(np.uint8).reshape(n, -1)
    return pl.DataFrame({"kind": names, "split": [split] * n, "image": flat}, schema_overrides={"kind": pl.String})


@pytest.fixture(scope="module")
def examples() -> pl.DataFrame:
    parts = [bars(150, "train", 0), bars(60, "valid", 1), bars(60, "test", 2)]
    return pl.concat(parts)


@pytest.fixture(scope="module")
def model(examples, tmp_path_factory) -> Ensemble:
    run = FitRun(seed=0, folder=tmp_path_factory.mktemp("fit"), report=lambda step, value: None, n_threads=1)
    return fit_multiclass(examples, "kind", PARAMS, run, SHAPE)


def test_a_fit_decides_everything_that_rebuilds_it(model):
    assert model.params.classes == ("across", "none", "upright")
    assert len(model.params.best_epochs) == 1
    decisions = model.params.decisions
    assert None not in (decisions.temperature, decisions.defer_margin, decisions.max_unknown_score)


def test_it_learns_and_a_stranger_is_one(model, examples):
    test = examples.filter(split="test")
    blank = test.head(20).with_columns(
        kind=pl.lit("a blank"), image=pl.Series("image", np.full((20, 256), 128, np.uint8))
    )
    rows = pl.concat([test, blank])

    def answer(asked: pl.DataFrame) -> pl.DataFrame:
        return predictions(model, logits_of(model.networks, asked, model.params, SHAPE))

    scored = rows.hstack(with_corrupted(answer, rows, SHAPE))
    found = multiclass_scores(scored, "kind")
    assert found["accuracy"] > 0.8
    assert found["accuracy"] == multiclass_scores(scored.head(60), "kind")["accuracy"]
    assert np.isnan(multiclass_scores(scored.head(60), "kind")["unknown_auroc"])
    assert found["unknown_auroc"] > 0.5
    assert 0.3 < found["corrupted_accuracy"] <= 1
    assert (scored["probabilities"].list.sum() - 1).abs().max() < 1e-9
    assert (scored["probabilities"].list.max() == scored["confidence"]).all()
    assert np.isnan(multiclass_scores(scored.tail(20), "kind")["accuracy"])

    def heat(numbers):
        pictures = as_pictures(torch.tensor(rows["image"].to_numpy()[numbers]), SHAPE)
        return mean_heat(model.networks, pictures, class_numbers(scored["predicted"][numbers], model.params.classes))

    drawn = multiclass_figures(scored, "kind", rows["image"].to_numpy().reshape(-1, *SHAPE), heat)
    assert set(drawn) == {
        *("confusion", "calibration", "risk_coverage", "corruptions", "unknown"),
        *("most_wrong", "least_sure", "grad_cam"),
    }
    for figure in drawn.values():
        figure.savefig(io.BytesIO(), format="png", dpi=30)
    assert "least_sure" not in multiclass_figures(scored, "kind", rows["image"].to_numpy(), None)


def test_a_loaded_model_answers_the_same_bits(model, examples, tmp_path):
    save_ensemble(model, tmp_path)
    loaded = load_multiclass(tmp_path, MulticlassParameters, SHAPE)
    test = examples.filter(split="test")
    before, after = (logits_of(one.networks, test, one.params, SHAPE) for one in (model, loaded))
    assert np.array_equal(before, after)
    assert loaded.params == model.params


def test_mirrored_views_make_mirrored_pictures_equal(model, examples):
    test = examples.filter(split="test")
    flat = test["image"].to_numpy().reshape(-1, *SHAPE)[:, :, ::-1].reshape(-1, 256)
    params = model.params.model_copy(update={"is_mirrored_too": True})
    before, after = (
        logits_of(model.networks, rows, params, SHAPE)
        for rows in (test, test.with_columns(pl.Series("image", np.ascontiguousarray(flat))))
    )
    assert after == pytest.approx(before, abs=1e-4)


def test_views_are_shifted_and_mirrored():
    pictures = torch.rand(2, 1, 8, 8)
    plain = MulticlassParameters(is_mirrored_too=False)
    assert len(views(pictures, plain)) == 1
    seen = views(pictures, MulticlassParameters(view_shift_px=1))
    assert len(seen) == 6
    assert torch.equal(seen[1][:, :, 1:, 1:], pictures[:, :, :-1, :-1])
    assert torch.equal(seen[3], pictures.flip(3))


def test_classes_that_are_not_named_are_refused(examples, tmp_path):
    run = FitRun(seed=0, folder=tmp_path, report=lambda step, value: None, n_threads=1)
    with pytest.raises(DataContractError, match="upright"):
        fit_multiclass(examples, "kind", PARAMS.model_copy(update={"classes": ("across", "none")}), run, SHAPE)


def test_an_unfitted_model_knows_everything_and_defers_nothing():
    params = MulticlassParameters(classes=("a", "b", "c"), ensemble_size=2)
    logits = np.array([[[2.0, 0.0, 0.0]], [[0.0, 0.0, 2.0]]])
    row = predictions(Ensemble(params=params, networks=()), logits).row(0, named=True)
    assert (row["is_known"], row["is_deferred"], row["predicted"], row["unknown_score"]) == (True, False, "a", -1.0)
    assert row["disagreement"] > 0.2


def test_the_likelihood_does_not_depend_on_the_logits_scale():
    logits, label = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 3
    logits[np.arange(50), label] += 1
    assert calibrated_likelihood(10 * logits, label) == pytest.approx(calibrated_likelihood(logits, label), rel=1e-6)
    assert calibrated_likelihood(0 * logits, label) == pytest.approx(1 / 3)


def test_the_floor_is_a_linear_model_of_the_pixels(examples):
    answer = linear_floor(examples.filter(split="train"), "kind")
    found = answer(examples.filter(split="test"))
    assert found.height == 60
    assert (found["probabilities"].list.sum() - 1).abs().max() < 1e-6
    blank = examples.head(1).with_columns(image=pl.Series("image", np.full((1, 256), 255, np.uint8)))
    assert answer(blank)["unknown_score"][0] > found["unknown_score"].max()


def test_a_trial_varies_training_and_keeps_the_rest():
    fixed = {
        "loop.learning_rate": 2e-3,
        "loop.weight_decay": 0.01,
        "label_smoothing": 0.05,
        "augmentation.erased_share": 0.2,
    }
    found = search_space(optuna.trial.FixedTrial(fixed), PARAMS)
    assert (found.width, found.loop.epochs, found.augmentation.flip_share) == (4, 4, 0)
    assert (found.loop.learning_rate, found.label_smoothing, found.augmentation.erased_share) == (2e-3, 0.05, 0.2)


def test_the_network_halves_pictures_three_times_or_four():
    for stride, side in ((1, 4), (2, 2)):
        params = MulticlassParameters(classes=("a", "b"), width=4, stem_stride=stride)
        network = build_network(params, (32, 32, 3)).eval()
        assert network.features(torch.rand(2, 3, 32, 32)).shape == (2, 32, side, side)
        assert network(torch.rand(2, 3, 32, 32)).shape == (2, 2)
