"""Digits from three sources: a known ceiling, MNIST as it is published, and own files."""

import base64
import gzip
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.stages.media import split_media
from modelyard.stages.validate import ValidateParameters, validate
from modelyard.tasks.images.idx import read_idx
from pipelines.handwritten_digit_recognition import data
from pipelines.handwritten_digit_recognition.data import (
    CONTRACT,
    IngestParameters,
    describe,
    expectations,
    ingest,
    prepared,
)
from pipelines.handwritten_digit_recognition.simulator import (
    CLASSES,
    STRANGER,
    SimulationParameters,
    _digits,
    known_ceiling,
    second_twin_probability,
    simulate,
)
from tests.pipelines.handwritten_digit_recognition.small import png

ABOUT = {"project": "handwritten_digit_recognition", "source": "test"}
MIRROR = os.environ.get("MODELYARD_DATA_MIRROR", "")


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others():
    few = SimulationParameters(n_pictures=60)
    rows, pixels = simulate(few)
    again, same = simulate(few)
    _, other = simulate(few.model_copy(update={"seed": 1}))
    assert rows.equals(again)
    assert np.array_equal(pixels, same)
    assert not np.array_equal(pixels, other)


def test_the_ceiling_is_that_of_the_twins_probabilities():
    many = SimulationParameters(n_pictures=20_000)
    first, axis, _, _ = _digits(many)
    second = second_twin_probability(axis)
    best = np.where(np.isin(first, (1, 4, 3)), np.maximum(second, 1 - second), 1)
    assert known_ceiling(many)["accuracy"] == pytest.approx(best.mean(), abs=0.02)


def test_simulated_digits_keep_the_contract(pictures):
    assert set(pictures["label"]) == {*CLASSES, STRANGER}
    rows, media = split_media(pictures, CONTRACT)
    found = validate(rows, None, CONTRACT, expectations(IngestParameters()), ValidateParameters(), ABOUT)
    assert found.summary["stop"] == []
    assert found.rejected.is_empty()
    assert media["image"].dtype == pl.Array(pl.UInt8, 28 * 28)


def test_drift_brings_felt_pens():
    still, drifting = (
        describe(prepared(simulate(SimulationParameters(n_pictures=150, drift=drift))[1])) for drift in (0, 1)
    )
    late = slice(-40, None)
    assert drifting[late]["stroke_width_px"].mean() > 1.3 * still[late]["stroke_width_px"].mean()
    assert (drifting[:10]["stroke_width_px"] - still[:10]["stroke_width_px"]).abs().mean() < 0.3


def test_descriptors_of_drawn_shapes():
    ring, bar = np.zeros((2, 28, 28), np.uint8)
    ring[4:24, 4:24] = 255
    ring[8:20, 8:20] = 0
    bar[4:24, 13:16] = 255
    broken = bar.copy()
    broken[12:15] = 0
    leaning = np.zeros((28, 28), np.uint8)
    for row in range(4, 24):
        leaning[row, 24 - row : 27 - row] = 255
    found = describe(np.stack([ring, bar, broken, leaning, np.zeros((28, 28), np.uint8)]))
    assert found["hole_count"].to_list() == [1, 0, 0, 0, 0]
    assert found["component_count"].to_list() == [1, 1, 2, 1, 0]
    assert found["stroke_width_px"][1] == pytest.approx(3 * 20 / 23 * 4 / np.pi, abs=0.01)
    assert found["aspect_ratio"].to_list()[:2] == pytest.approx([1, 3 / 20])
    assert found["slant_deg"][1] == pytest.approx(0, abs=1e-6)
    assert found["slant_deg"][3] == pytest.approx(45, abs=0.1)
    assert found["off_centre_px"].to_list()[:2] == pytest.approx([0, 0])
    assert found["ink_share"][1] == pytest.approx(60 / 784)


@pytest.fixture
def folder(tmp_path):
    _, drawn = simulate(SimulationParameters(n_pictures=40, stranger_share=0))
    for number, name in enumerate(("4", "9")):
        (tmp_path / name).mkdir()
        for row in range(6):
            (tmp_path / name / f"{row}.png").write_bytes(png(drawn[6 * number + row]))
    return tmp_path


def own(path):
    return ingest(IngestParameters(source="own", path=str(path)))


def test_own_folders_are_digits_and_bad_files_go_to_quarantine(folder):
    (folder / "4" / "empty.png").write_bytes(png(np.full((60, 60), 250)))
    (folder / "4" / "tiny.png").write_bytes(png(np.zeros((9, 9))))
    (folder / "9" / "full.png").write_bytes(png(np.pad(np.zeros((58, 58)), 1, constant_values=255)))
    (folder / "9" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    rows, _ = split_media(own(folder), CONTRACT)
    found = validate(rows, None, CONTRACT, [], ValidateParameters(max_rejected_share=0.5), ABOUT)
    reasons = dict(found.rejected.select("picture_id", pl.col("rejected_because").list.join(" ")).iter_rows())
    assert dict(found.records["label"].value_counts().iter_rows()) == {"4": 6, "9": 6}
    assert "canvas is empty" in reasons["4/empty.png"]
    assert "at least 16" in reasons["4/tiny.png"]
    assert "nearly all of the picture is ink" in reasons["9/full.png"]
    assert "neither a PNG nor a JPEG" in reasons["9/broken.jpg"]


def test_a_label_that_is_no_digit_is_refused(folder):
    (folder / "labels.csv").write_text("file,label\n4/0.png,4\n9/0.png,nine\n")
    with pytest.raises(DataContractError, match="no class: nine"):
        own(folder / "labels.csv")
    (folder / "labels.csv").write_text("file,label\n4/0.png,04\n9/0.png,no digit\n")
    assert own(folder / "labels.csv")["label"].to_list() == ["4", STRANGER]


def test_own_data_without_a_path_are_refused():
    with pytest.raises(ConfigurationError, match="No own data"):
        ingest(IngestParameters(source="own"))


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


def write_idx(folder: Path, n_train: int = 20, n_test: int = 10) -> np.ndarray:
    seen = prepared(simulate(SimulationParameters(n_pictures=n_train + n_test + 40))[1])[: n_train + n_test]
    labels = (np.arange(len(seen)) % 10).astype(np.uint8)
    for prefix, part in (("train", slice(n_train)), ("t10k", slice(n_train, None))):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(seen[part])))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels[part]))
    return seen


def test_own_idx_files_are_read_and_damaged_ones_are_said(tmp_path):
    seen = write_idx(tmp_path)
    rows = own(tmp_path)
    assert dict(rows["split"].value_counts().iter_rows()) == {"train": 18, "valid": 2, "test": 10}
    assert rows["label"].to_list()[:3] == ["0", "1", "2"]
    assert np.abs(rows["image"].to_numpy().reshape(-1, 28, 28).astype(int) - seen).max() <= 2
    path = tmp_path / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataContractError, match="announces 10 numbers, and 7 follow"):
        own(tmp_path)
    path.write_bytes(idx(np.full(10, 11, np.uint8)))
    with pytest.raises(DataContractError, match=r"labels of shape \(10,\) up to 11"):
        own(tmp_path)
    path.unlink()
    with pytest.raises(DataContractError, match="no file t10k-labels-idx1-ubyte"):
        own(tmp_path)


def test_public_mnist_has_its_official_split_and_scribbles(tmp_path, monkeypatch):
    seen = write_idx(tmp_path)
    for number, pixels in enumerate(seen[:20]):
        place = tmp_path / "training" / str(number % 10)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(png(pixels))
    garments = tmp_path / "fashion_mnist_images" / "test" / "0"
    garments.mkdir(parents=True)
    (garments / "0000.png").write_bytes(png(seen[25]))
    (garments / "0001.png").write_bytes(png(np.pad(np.full((26, 26), 200), 1)))  # fills the picture: is refused
    monkeypatch.setattr(data, "_N_TRAIN", 20)
    monkeypatch.setattr("modelyard.public_data.fetch.fetch", lambda name: tmp_path)
    part, whole = (ingest(IngestParameters(source="public", dataset=name)) for name in ("mnist", "mnist_full"))
    for rows in (part, whole):
        assert dict(rows["split"].value_counts().iter_rows()) == {"train": 18, "valid": 2, "test": 311}
        strangers = rows.filter(label=STRANGER)["origin"].value_counts()
        assert dict(strangers.iter_rows()) == {"fashion_mnist": 1, "scribbled": 300}
    assert part["label"].to_list() == whole["label"].to_list()
    assert part.filter(split="valid")["picture_id"].to_list() == ["training/8/18.png", "training/9/19.png"]
    (tmp_path / "training" / "3" / "3.png").unlink()
    with pytest.raises(DataContractError, match="19 training digits"):
        ingest(IngestParameters(source="public"))


@pytest.mark.skipif(not Path(MIRROR, "mnist").is_dir() or not MIRROR, reason="needs MNIST in MODELYARD_DATA_MIRROR")
def test_the_preparation_hardly_changes_mnist_itself():
    raw = read_idx(Path(MIRROR, "mnist", "t10k-images-idx3-ubyte.gz"))[:300]
    change = np.abs(prepared(raw).astype(int) - raw)
    assert change.mean() < 0.1
    assert (change.max(axis=(1, 2)) <= 3).mean() > 0.99


def test_the_example_is_a_picture():
    from pipelines.handwritten_digit_recognition.serve import EXAMPLE

    assert base64.b64decode(EXAMPLE.image).startswith(b"\x89PNG")
    assert [len(EXAMPLE.digits())] == [1]
