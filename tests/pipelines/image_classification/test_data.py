"""Pictures from three sources: a known ceiling, two public sets on one contract, and own files of any classes."""

import gzip
import io
import tarfile

import numpy as np
import polars as pl
import pytest
from PIL import Image

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.stages.media import split_media
from modelyard.stages.validate import ValidateParameters, validate
from modelyard.tasks.images.descriptors import describe
from pipelines.image_classification import data
from pipelines.image_classification.data import CONTRACT, IngestParameters, expectations, ingest, read_picture
from pipelines.image_classification.simulator import (
    CLASSES,
    STRANGER,
    SimulationParameters,
    _figures,
    known_ceiling,
    posteriors,
    simulate,
)

ABOUT = {"project": "image_classification", "source": "test"}
PICTURE = np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)


def file_of(array, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others():
    few = SimulationParameters(n_pictures=60)
    rows, pixels = simulate(few)
    again, same = simulate(few)
    _, other = simulate(few.model_copy(update={"seed": 1}))
    assert rows.equals(again)
    assert np.array_equal(pixels, same)
    assert not np.array_equal(pixels, other)
    assert set(rows["label"]) == {*CLASSES, STRANGER}


def test_the_ceiling_is_that_of_the_posteriors_of_the_same_labels():
    many = SimulationParameters(n_pictures=40_000)
    roundness, stripes, label, _ = _figures(many)
    probability = posteriors(roundness, stripes)
    assert probability.sum(axis=1) == pytest.approx(1)
    assert known_ceiling(many)["accuracy"] == pytest.approx(probability.max(axis=1).mean(), abs=0.02)
    shares = np.bincount(label, minlength=4) / len(label)
    assert shares == pytest.approx(probability.mean(axis=0), abs=0.01)


def test_drift_darkens_and_blurs():
    still, drifting = (describe(simulate(SimulationParameters(n_pictures=200, drift=drift))[1]) for drift in (0, 1))
    late = slice(-40, None)
    assert drifting[late]["brightness_ratio"].mean() < 0.7 * still[late]["brightness_ratio"].mean()
    assert drifting[late]["edge_ratio"].mean() < 0.8 * still[late]["edge_ratio"].mean()
    assert (drifting[:10]["brightness_ratio"] - still[:10]["brightness_ratio"]).abs().mean() < 0.03


def test_simulated_pictures_keep_the_contract(pictures):
    rows, media = split_media(pictures, CONTRACT)
    found = validate(rows, None, CONTRACT, expectations(IngestParameters()), ValidateParameters(), ABOUT)
    assert found.summary["stop"] == []
    assert found.rejected.is_empty()
    assert media["image"].dtype == pl.Array(pl.UInt8, 32 * 32 * 3)


def test_a_picture_is_read_alike_whatever_its_size():
    small = PICTURE[:28, :28]
    assert np.array_equal(read_picture(file_of(small))[2:30, 2:30], small)
    assert read_picture(file_of(np.kron(PICTURE, np.ones((9, 9, 1), np.uint8)), "JPEG")).shape == (32, 32, 3)
    grey = read_picture(file_of(PICTURE[:32, :32, 0]))
    assert (grey == grey[..., :1]).all()
    with pytest.raises(ValueError, match="at least 16"):
        read_picture(file_of(PICTURE[:10]))


@pytest.fixture
def folder(tmp_path):
    for name, shade in (("cup", 0), ("glass", 90)):
        (tmp_path / name).mkdir()
        for number in range(6):
            content = file_of((PICTURE // 2 + shade + number).astype(np.uint8))
            (tmp_path / name / f"{number}.png").write_bytes(content)
    return tmp_path


def own(path, **more):
    return ingest(IngestParameters(source="own", path=str(path), **more))


def test_own_folders_are_classes_and_bad_files_go_to_quarantine(folder):
    (folder / "cup" / "tiny.png").write_bytes(file_of(PICTURE[:9]))
    (folder / "glass" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (folder / "glass" / "half.png").write_bytes(file_of(np.dstack([PICTURE, PICTURE[..., :1]])))
    (folder / STRANGER).mkdir()
    (folder / STRANGER / "wall.png").write_bytes(file_of(np.full((32, 32, 3), 200, np.uint8)))
    rows, _ = split_media(own(folder), CONTRACT)
    limits = ValidateParameters(max_rejected_share=0.5)
    found = validate(rows, None, CONTRACT, [], limits, ABOUT)
    reasons = dict(found.rejected.select("picture_id", pl.col("rejected_because").list.join(" ")).iter_rows())
    assert found.records.height == 13
    assert dict(found.records["label"].value_counts().iter_rows()) == {"cup": 6, "glass": 6, STRANGER: 1}
    assert "at least 16" in reasons["cup/tiny.png"]
    assert "neither a PNG nor a JPEG" in reasons["glass/broken.jpg"]
    assert "transparent" in reasons["glass/half.png"]


def test_own_labels_may_mean_the_same_and_unknown_ones_are_refused(folder):
    (folder / "labels.csv").write_text(
        "file,label,split\ncup/0.png,cup,train\nglass/0.png,jar,test\nglass/0.png,cup,train\n"
    )
    rows = own(folder / "labels.csv", classes={"cup": "vessel", "jar": "vessel"})
    assert rows["label"].to_list() == ["vessel"] * 3
    assert rows["split"].to_list() == ["train", "test", "unused"]  # the last one is a copy of what is tested
    with pytest.raises(DataContractError, match="no class: jar"):
        own(folder / "labels.csv", classes={"cup": "vessel"})


def test_own_data_without_a_path_are_refused():
    with pytest.raises(ConfigurationError, match="No own data"):
        ingest(IngestParameters(source="own"))


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Both public sets in small, laid out as theirs."""
    rng = np.random.default_rng(0)
    names = {"cifar10": [f"class_{number}" for number in range(10)], "fashion_mnist": [str(n) for n in range(10)]}
    counts = {"cifar10": {"train": 10, "test": 4}, "fashion_mnist": {"train": 10, "test": 4}}
    for dataset, classes in names.items():
        top = tmp_path / dataset / ("fashion_mnist_images" if dataset == "fashion_mnist" else "")
        for split, n in counts[dataset].items():
            for name in classes:
                (top / split / name).mkdir(parents=True)
                for number in range(n):
                    grey = dataset == "fashion_mnist"
                    pixels = rng.integers(0, 255, (28, 28) if grey else (32, 32, 3), dtype=np.uint8)
                    (top / split / name / f"{number:04d}.png").write_bytes(file_of(pixels))
    monkeypatch.setattr(data, "_OFFICIAL_COUNTS", counts)
    monkeypatch.setattr("modelyard.public_data.fetch.fetch", lambda name: tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(("dataset", "other"), [("cifar10", "fashion_mnist"), ("fashion_mnist", "cifar10")])
def test_each_public_set_is_the_others_stranger(published, dataset, other):
    rows = ingest(IngestParameters(source="public", dataset=dataset))
    counts = {(split, origin): n for split, origin, n in rows.group_by("split", "origin").len().iter_rows()}
    assert counts == {
        ("train", dataset): 90,
        ("valid", dataset): 10,
        ("test", dataset): 40,
        ("test", other): 40,
        ("test", "plain"): 40,
        ("test", "noise"): 40,
    }
    assert set(rows.filter(pl.col("origin") != dataset)["label"]) == {STRANGER}
    assert rows["picture_id"].n_unique() == rows.height
    assert rows.filter(split="valid")["picture_id"].str.ends_with("0009.png").all()
    assert "ankle boot" in set(rows["label"]) or dataset == "cifar10"


def test_a_copy_in_the_test_is_not_learnt_and_missing_files_are_said(published):
    copy = published / "cifar10" / "train" / "class_3" / "0002.png"
    copy.write_bytes((published / "cifar10" / "test" / "class_5" / "0001.png").read_bytes())
    rows = ingest(IngestParameters(source="public"))
    assert rows.filter(split="unused")["picture_id"].to_list() == ["train/class_3/0002.png"]
    copy.unlink()
    with pytest.raises(DataContractError, match="9 pictures of 'class_3'"):
        ingest(IngestParameters(source="public"))


def idx(values: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return gzip.compress(head + values.tobytes())


@pytest.fixture
def archives(published):
    """The whole sets in small, in the official formats."""
    rng = np.random.default_rng(1)
    for name in ("cifar10_full", "fashion_mnist_full"):
        (published / name).mkdir()
    with tarfile.open(published / "cifar10_full" / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for batch, n in (
            ("data_batch_1.bin", 60),
            ("data_batch_2.bin", 40),
            ("test_batch.bin", 20),
            ("readme.html", 1),
        ):
            rows = np.concatenate([np.arange(n)[:, None] % 10, rng.integers(0, 256, (n, 3072))], axis=1).astype(
                np.uint8
            )
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{batch}")
            member.size = rows.size
            archive.addfile(member, io.BytesIO(rows.tobytes()))
    for name, n in (("train", 100), ("t10k", 30)):
        seen = rng.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        told = (np.arange(n) % 10).astype(np.uint8)
        (published / "fashion_mnist_full" / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(seen))
        (published / "fashion_mnist_full" / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx(told))
    return published


def test_the_whole_sets_are_read_from_their_official_archives(archives):
    photos = ingest(IngestParameters(source="public", dataset="cifar10_full"))
    assert dict(photos["split"].value_counts().iter_rows()) == {"train": 90, "valid": 10, "test": 20 + 40 + 80}
    assert photos.filter(split="valid")["label"].n_unique() == 10
    assert photos["label"][3] == "cat"
    with tarfile.open(archives / "cifar10_full" / "cifar-10-binary.tar.gz") as archive:
        first = np.frombuffer(archive.extractfile("cifar-10-batches-bin/data_batch_1.bin").read(), np.uint8)[1:3073]
    assert np.array_equal(photos["image"][0].to_numpy().reshape(32, 32, 3)[..., 2].ravel(), first[2048:])
    clothes = ingest(IngestParameters(source="public", dataset="fashion_mnist_full"))
    assert clothes.filter(split="test", origin="fashion_mnist_full").height == 30
    raw = np.frombuffer(
        gzip.decompress((archives / "fashion_mnist_full/train-images-idx3-ubyte.gz").read_bytes()), np.uint8
    )
    grey = raw[16 : 16 + 784].reshape(28, 28)
    assert np.array_equal(clothes["image"][0].to_numpy().reshape(32, 32, 3), read_picture(file_of(grey)))


def test_a_damaged_archive_is_said(archives):
    path = archives / "fashion_mnist_full" / "t10k-labels-idx1-ubyte.gz"
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole[:-3]))
    with pytest.raises(DataContractError, match="head announces"):
        ingest(IngestParameters(source="public", dataset="fashion_mnist_full"))
    path.write_bytes(idx(np.zeros(7, np.uint8)))
    with pytest.raises(DataContractError, match="7 labels"):
        ingest(IngestParameters(source="public", dataset="fashion_mnist_full"))
    with tarfile.open(archives / "cifar10_full" / "cifar-10-binary.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        member.size = 100
        archive.addfile(member, io.BytesIO(bytes(100)))
    with pytest.raises(DataContractError, match="100 bytes, no multiple"):
        ingest(IngestParameters(source="public", dataset="cifar10_full"))
