"""The model learns what there is to learn, admits doubt, keeps its bits, serves what it learnt, sees no future."""

import base64
import io

import numpy as np
import polars as pl
import pytest
from PIL import Image
from pydantic import ValidationError

from modelyard.errors import DataContractError, StorageError
from pipelines.satellite_image_analysis.data import IngestParameters
from pipelines.satellite_image_analysis.evaluate import (
    ScoreParameters,
    figures,
    floor,
    known_ceiling,
    predict,
    score,
)
from pipelines.satellite_image_analysis.features import FeatureParameters, derive_features
from pipelines.satellite_image_analysis.model import load, save
from pipelines.satellite_image_analysis.serve import EXAMPLE, TileRequest, decode, encode
from pipelines.satellite_image_analysis.simulator import SimulationParameters, _scene
from pipelines.satellite_image_analysis.train import AugmentationParameters


def metrics_of(rows, predictions):
    return score(rows.drop("image").hstack(predictions), ScoreParameters())


def as_request(pixels, **more) -> TileRequest:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8).reshape(128, 128, 3)).save(buffer, "PNG")
    return TileRequest(image=base64.b64encode(buffer.getvalue()).decode(), **more)


def test_the_model_lies_between_the_floor_and_the_known_ceiling(trained):
    # Early stopping has seen the validation rows, so it is the test rows that count.
    test = trained.rows("test")
    trivial = metrics_of(test, floor(trained.rows("train"), test))
    ours = metrics_of(test, predict(trained.model, test))
    best = known_ceiling(IngestParameters(simulation=SimulationParameters(n_tiles=320)))
    assert ours["roc_auc"] > 0.75
    assert trivial["roc_auc"] < best["roc_auc"]
    assert ours["roc_auc"] <= best["roc_auc"] + 0.03  # 48 test rows: chance may lift the model a little


def test_every_epoch_is_reported_and_validation_decides(trained):
    steps, values = zip(*trained.reports, strict=True)
    assert list(steps) == list(range(1, 10))
    assert trained.model.params.best_epochs == (1 + int(np.argmax(values[:8])),)
    decisions = trained.model.params.decisions
    assert None not in (decisions.slope, decisions.threshold, decisions.refer_margin)


def test_the_same_seed_gives_the_same_bits_without_validation_rows(trained, refit, tmp_path):
    test = trained.rows("test")
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


def test_tiles_of_one_class_are_refused(trained, refit, tmp_path):
    with pytest.raises(DataContractError, match="one class"):
        refit(trained.examples.filter("is_damaged"), tmp_path)


def test_a_later_tile_changes_no_earlier_level(tiles):
    moment = tiles["event_time"].sort()[160]
    is_later = pl.col("event_time") >= moment
    planted = tiles.with_columns(pl.when(is_later).then(0.999).otherwise("brightness_ratio").alias("brightness_ratio"))
    before, after = (
        derive_features(rows, FeatureParameters(fewest_tiles=3))["region_light"].sort("event_time", "region_id")
        for rows in (tiles, planted)
    )
    assert not before.equals(after)
    # Levels at the moment itself are those just before it: the tile's own light is not among them.
    is_known = pl.col("event_time") <= moment
    assert before.filter(is_known).equals(after.filter(is_known))


def test_law_a_mirrored_or_turned_tile_is_the_same_building(trained):
    test = trained.rows("test")
    model = trained.model.params.model_copy(update={"n_views": 8})
    all_ways = type(trained.model)(params=model, networks=trained.model.networks)
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


def test_law_light_that_the_region_shares_changes_little(trained):
    test = trained.rows("test")
    dimmed = test["image"].to_numpy().astype(float) * 0.9
    changed = pl.Series("image", dimmed.astype(np.uint8))
    levels = [pl.col(name) * 0.9 for name in ("region_brightness_7d", "region_contrast_7d")]
    known = test.with_columns(image=changed).with_columns(levels)
    is_known = test["region_brightness_7d"].is_not_null()
    before, after = (predict(trained.model, rows.filter(is_known))["score"] for rows in (test, known))
    assert np.abs(after - before).mean() < 0.05


def test_serving_answers_what_the_batch_predicts(trained):
    rows = trained.rows("test").head(3)
    names = ("region_id", "region_brightness_7d", "region_contrast_7d")
    requests = [as_request(row["image"], **{name: row[name] for name in names}) for row in rows.iter_rows(named=True)]
    served = encode(predict(trained.model, decode(requests)))
    batch = predict(trained.model, rows)
    assert [answer.damage_probability for answer in served] == pytest.approx(batch["score"].to_list(), abs=1e-5)
    assert decode(requests).select("edge_ratio", "haze_ratio").equals(rows.select("edge_ratio", "haze_ratio"))


def test_the_three_answers():
    predictions = pl.DataFrame(
        {
            "score": [0.9, 0.1, 0.6],
            "disagreement": [0.0, 0.0, 0.2],
            "is_called": [True, False, True],
            "is_referred": [False, False, True],
        }
    )
    assert [each.answer for each in encode(predictions)] == ["damaged", "not damaged", "look yourself"]


def test_the_example_is_a_valid_request():
    assert TileRequest.model_validate(EXAMPLE.model_dump()) == EXAMPLE


@pytest.mark.parametrize(
    ("image", "problem"),
    [("not base64!", "no base64"), (base64.b64encode(b"text").decode(), "neither a PNG nor a JPEG")],
)
def test_a_request_without_a_tile_is_refused(image, problem):
    with pytest.raises(ValidationError, match=problem):
        TileRequest(image=image)


def test_figures_can_be_drawn(trained):
    test = trained.rows("test")
    rows = test.drop("image").hstack(predict(trained.model, test)).hstack([test["image"]])
    drawn = figures(rows, trained.model)
    assert set(drawn) == {"ranking", "calibration", "risk_coverage", "where_it_is_unsure", "where_it_looks", "map"}
    for figure in drawn.values():
        figure.savefig(io.BytesIO(), format="png", dpi=30)


def test_variations_move_tiles_and_none_leave_them_or_their_mirror_image():
    import torch

    from pipelines.satellite_image_analysis.augmentation import turned, vary

    tiles = torch.rand(6, 3, 32, 32)
    names = AugmentationParameters.model_fields
    same = vary(tiles, AugmentationParameters(**dict.fromkeys(names, 0)))
    gaps = torch.stack([(same - each).abs().amax(dim=(1, 2, 3)) for each in (tiles, tiles.flip(3))])
    assert gaps.amin(dim=0).max() < 1e-5
    assert (vary(tiles, AugmentationParameters()) - tiles).abs().mean() > 0.05
    assert len({turned(tiles, number).numpy().tobytes() for number in range(8)}) == 8


def test_metrics_counted_by_hand():
    rows = pl.DataFrame(
        {
            "is_damaged": [True, True, False, False],
            "score": [0.9, 0.4, 0.6, 0.1],
            "is_called": [True, False, True, False],
            "is_referred": [False, True, False, False],
            "is_new_place": [True, True, False, None],
        }
    )
    found = score(rows, ScoreParameters(budget_share=0.5))
    assert {name: found[name] for name in ("accuracy", "recall", "precision", "found_in_budget", "roc_auc")} == {
        "accuracy": 0.5,
        "recall": 0.5,
        "precision": 0.5,
        "found_in_budget": 0.5,
        "roc_auc": 0.75,
    }
    assert (found["accuracy_new_place"], found["accuracy_known_place"]) == (0.5, 0.0)
    assert found["accuracy_when_sure"] == pytest.approx(2 / 3)


def test_rows_of_one_class_have_no_ranking():
    rows = pl.DataFrame({"is_damaged": [True], "score": [0.9], "is_called": [True], "is_referred": [True]})
    found = score(rows, ScoreParameters())
    assert np.isnan([found["roc_auc"], found["accuracy_new_place"], found["accuracy_when_sure"]]).all()
    assert found["accuracy"] == 1
