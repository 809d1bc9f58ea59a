"""Exams from three sources: a known ceiling, the official counts, and own files that may be anything."""

import io
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from PIL import Image

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.stages.media import split_media
from modelyard.stages.validate import ValidateParameters, validate
from pipelines.medical_image_analysis.data import CONTRACT, IngestParameters, _check_counts, expectations, ingest
from pipelines.medical_image_analysis.descriptors import describe
from pipelines.medical_image_analysis.simulator import SimulationParameters, known_ceiling, simulate, true_risks


def png(array, mode=None) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)).save(buffer, "PNG")
    return buffer.getvalue()


GREY = np.arange(32 * 28, dtype=np.uint8).reshape(32, 28)


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others():
    few = SimulationParameters(n_exams=50)
    rows, pictures = simulate(few)
    again, same = simulate(few)
    _, other = simulate(few.model_copy(update={"seed": 1}))
    assert rows.equals(again)
    assert np.array_equal(pictures, same)
    assert not np.array_equal(pictures, other)


def test_the_ceiling_is_that_of_the_true_risk():
    many = IngestParameters(simulation=SimulationParameters(n_exams=20_000))
    ceiling = known_ceiling(many.simulation)
    assert ceiling["roc_auc"] == pytest.approx(0.97, abs=0.015)
    risk, is_pneumonia = true_risks(many.simulation)
    rows = pl.DataFrame({"true_risk": risk, "is_pneumonia": is_pneumonia, "tenth": np.floor(10 * risk)})
    tenth = rows.group_by("tenth").agg(pl.col("true_risk").mean(), pl.col("is_pneumonia").mean(), pl.len())
    gaps = (tenth["true_risk"] - tenth["is_pneumonia"]).abs() * tenth["len"].sqrt()
    assert gaps.max() < 2.5  # five standard errors of a share


def test_the_ceiling_needs_no_pixels_and_is_of_the_same_labels():
    few = SimulationParameters(n_exams=50)
    risk, is_pneumonia = true_risks(few)
    assert simulate(few)[0].select("true_risk", "is_pneumonia").rows() == list(zip(risk, is_pneumonia, strict=True))


def test_drift_makes_later_pictures_brighter():
    still, drifting = (
        simulate(SimulationParameters(n_exams=400, drift=drift))[1].astype(float).mean(axis=(1, 2))
        for drift in (0, 0.2)
    )
    assert np.abs(drifting[:20] - still[:20]).mean() < 3
    assert (drifting[-20:] - still[-20:]).mean() > 35


def test_simulated_exams_keep_the_contract(exams):
    rows, media = split_media(exams, CONTRACT)
    about = {"project": "medical_image_analysis", "source": "test"}
    found = validate(rows, None, CONTRACT, expectations(IngestParameters()), ValidateParameters(), about)
    assert found.summary["stop"] == []
    assert found.rejected.is_empty()
    assert media["image"].dtype == pl.Array(pl.UInt8, 784)


def test_descriptors_of_known_pictures():
    half = np.zeros((3, 28, 28), np.uint8)
    half[1] = 255
    half[2, :, 14:] = 255
    black, white, sided = describe(half).to_dicts()
    assert (sided["asymmetry_ratio"], white["asymmetry_ratio"]) == (1, 0)
    assert sided["mass_center_x_ratio"] == pytest.approx(0.75)
    assert (black["mass_center_x_ratio"], black["lung_brightness_ratio"]) == (0, 1)
    assert (sided["dark_share"], sided["saturated_share"]) == (0.5, 1)


@pytest.fixture
def folder(tmp_path):
    for name, pixels in (("normal", GREY), ("pneumonia", GREY[::-1])):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"{number}.png").write_bytes(png(np.roll(pixels, number, axis=0)))
    return tmp_path


def own(path, **more):
    return ingest(IngestParameters(source="own", path=str(path), **more))


def test_own_folders_become_exams_and_bad_files_go_to_quarantine(folder):
    (folder / "normal" / "deep.png").write_bytes(png(np.full((30, 30), 5000, np.uint16)))
    (folder / "normal" / "colour.png").write_bytes(png(np.tile(np.uint8([200, 0, 0]), (30, 30, 1))))
    (folder / "pneumonia" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (folder / "pneumonia" / "notes.txt").write_text("not looked at")
    rows, media = split_media(own(folder), CONTRACT)
    limits = ValidateParameters(max_rejected_share=0.5)
    found = validate(rows, None, CONTRACT, [], limits, {"project": "medical_image_analysis", "source": "test"})
    reasons = dict(found.rejected.select("exam_id", pl.col("rejected_because").list.join(" ")).iter_rows())
    assert found.records.height == 8
    assert media.height == 11
    assert "16 bits" in reasons["normal/deep.png"]
    assert "in colour" in reasons["normal/colour.png"]
    assert "neither a PNG nor a JPEG" in reasons["pneumonia/broken.jpg"]
    assert found.records.group_by("is_pneumonia").len()["len"].to_list() == [4, 4]


def test_an_own_csv_names_patients_scanners_and_times(folder):
    table = folder / "labels.csv"
    table.write_text(
        "file,label,patient_id,scanner_id,event_time\n"
        "normal/0.png,normal,anna,x1,2024-03-01T10:00:00+01:00\n"
        "pneumonia/0.png,pneumonia,,,2024-03-02\n"
    )
    rows = own(table)
    assert rows["patient_id"].to_list() == ["anna", "pneumonia/0.png"]
    assert rows["scanner_id"].to_list() == ["x1", "unknown"]
    assert rows["event_time"][0] == datetime(2024, 3, 1, 9, tzinfo=UTC)
    assert "split" not in rows.columns  # the spine splits by time


def test_own_data_without_a_path_are_refused():
    with pytest.raises(ConfigurationError, match="No own data"):
        ingest(IngestParameters(source="own"))


def test_another_public_file_does_not_pass_for_the_official_set():
    with pytest.raises(DataContractError, match="rebuilt set"):
        _check_counts({"train": (3882, 3494), "valid": (524, 389), "test": (624, 390)})
