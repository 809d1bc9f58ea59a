"""Tiles from three sources: a known ceiling, places on a map, and own files that may be anything."""

import io
import struct
import zlib
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from PIL import Image

from modelyard.errors import ConfigurationError
from modelyard.stages.media import split_media
from modelyard.stages.validate import ValidateParameters, validate
from pipelines.satellite_image_analysis.data import CONTRACT, IngestParameters, expectations, ingest, read_tile
from pipelines.satellite_image_analysis.descriptors import describe
from pipelines.satellite_image_analysis.places import nearest_km, with_coordinates, with_new_places, with_places
from pipelines.satellite_image_analysis.simulator import SimulationParameters, known_ceiling, simulate, true_risks


def png(array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def deep_png(side: int) -> bytes:
    """A PNG with 16 bits in each of three channels, which Pillow can read but not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    lines = zlib.compress((b"\0" + b"\x12\x34" * 3 * side) * side)
    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


TILE = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others():
    few = SimulationParameters(n_tiles=20)
    rows, pixels = simulate(few)
    again, same = simulate(few)
    _, other = simulate(few.model_copy(update={"seed": 1}))
    assert rows.equals(again)
    assert np.array_equal(pixels, same)
    assert not np.array_equal(pixels, other)


def test_the_ceiling_is_that_of_the_true_risk_of_the_same_labels():
    few, many = SimulationParameters(n_tiles=20), SimulationParameters(n_tiles=50_000)
    assert simulate(few)[0].select("true_risk", "is_damaged").rows() == list(zip(*true_risks(few), strict=True))
    assert known_ceiling(many)["accuracy"] == pytest.approx(0.92, abs=0.02)
    risk, is_damaged = true_risks(many)
    tenth = np.floor(10 * risk).astype(int)
    gaps = np.bincount(tenth, risk - is_damaged) / np.sqrt(np.bincount(tenth))
    assert np.abs(gaps).max() < 2.5  # five standard errors of a share


def test_drift_brings_haze_and_dry_grass():
    still, drifting = (
        describe(simulate(SimulationParameters(n_tiles=120, haze=0, drift=drift))[1]) for drift in (0, 1)
    )
    late = slice(-30, None)
    assert (drifting[late]["haze_ratio"] - still[late]["haze_ratio"]).mean() > 0.1
    assert (drifting[late]["green_excess_ratio"] - still[late]["green_excess_ratio"]).mean() < -0.03
    assert (drifting[:10]["haze_ratio"] - still[:10]["haze_ratio"]).abs().mean() < 0.03


def test_simulated_tiles_keep_the_contract(tiles):
    rows, media = split_media(tiles, CONTRACT)
    about = {"project": "satellite_image_analysis", "source": "test"}
    found = validate(rows, None, CONTRACT, expectations(IngestParameters()), ValidateParameters(), about)
    assert found.summary["stop"] == []
    assert found.rejected.is_empty()
    assert media["image"].dtype == pl.Array(pl.UInt8, 128 * 128 * 3)


def test_descriptors_of_known_tiles():
    known = np.zeros((2, 128, 128, 3), np.uint8)
    known[0] = 255
    known[1, ..., 1] = 255
    white, green = describe(known).to_dicts()
    assert (green["green_excess_ratio"], white["green_excess_ratio"]) == (2, 0)
    assert (green["saturation_ratio"], white["haze_ratio"], green["haze_ratio"]) == (1, 1, 0)
    assert (white["smooth_share"], white["red_blue_ratio"]) == (1, 0)


def test_a_tile_is_taken_as_it_is_or_it_is_said_why_not():
    assert np.array_equal(read_tile(png(TILE)), TILE)
    for content, problem in (
        (png(TILE[:64]), "128 x 64 pixels"),
        (png(TILE[..., 0]), "grey"),
        (deep_png(128), "16 bits"),
    ):
        with pytest.raises(ValueError, match=problem):
            read_tile(content)


def test_a_name_says_where_a_building_stands():
    names = ["x/-95.06_29.830001.jpeg", "-93.642544_30.215190999999997.png", "house_7.png", "1_2.png"]
    placed = with_coordinates(pl.DataFrame({"tile_id": names}))
    assert placed["longitude_deg"].to_list() == [-95.06, -93.642544, None, None]
    assert placed["latitude_deg"].to_list() == [29.830001, 30.215190999999997, None, None]


def test_distances_are_those_on_the_globe():
    houston, austin = np.array([[-95.3698, 29.7604]]), np.array([[-97.7431, 30.2672]])
    assert nearest_km(houston, austin)[0] == pytest.approx(235.5, rel=0.01)
    assert np.isnan(nearest_km(np.array([[np.nan, 1.0]]), austin)[0])


def test_places_know_what_training_has_seen():
    rows = pl.DataFrame(
        {
            "tile_id": ["a", "b", "c", "d"],
            "longitude_deg": [-95.0, -95.001, -95.5, None],
            "latitude_deg": [29.0, 29.001, 29.0, None],
            "split": ["train", "test", "test", "test"],
        }
    )
    placed = with_new_places(with_places(rows))
    assert placed["is_new_place"].to_list() == [False, False, True, None]
    assert placed["cell_id"][0] == "-95.0_29.0"
    assert placed["cell_id"][3] == "d"
    assert placed["region_id"].to_list() == ["-95.0_29.0", "-96.0_29.0", "-96.0_29.0", "unknown"]


@pytest.fixture
def folder(tmp_path):
    for name, shade in (("no_damage", 0), ("damage", 100)):
        (tmp_path / name).mkdir()
        for number in range(4):
            content = png((TILE // 2 + shade + number).astype(np.uint8))
            (tmp_path / name / f"-95.0{number}_29.5{number}.png").write_bytes(content)
    return tmp_path


def own(path, **more):
    return ingest(IngestParameters(source="own", path=str(path), **more))


def test_own_folders_become_tiles_and_bad_files_go_to_quarantine(folder):
    (folder / "no_damage" / "deep.png").write_bytes(deep_png(128))
    (folder / "no_damage" / "grey.png").write_bytes(png(TILE[..., 0]))
    (folder / "damage" / "small.png").write_bytes(png(TILE[:100]))
    (folder / "damage" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    rows, media = split_media(own(folder), CONTRACT)
    limits = ValidateParameters(max_rejected_share=0.5)
    found = validate(rows, None, CONTRACT, [], limits, {"project": "satellite_image_analysis", "source": "test"})
    reasons = dict(found.rejected.select("tile_id", pl.col("rejected_because").list.join(" ")).iter_rows())
    assert (found.records.height, media.height) == (8, 12)
    assert "16 bits" in reasons["no_damage/deep.png"]
    assert "grey" in reasons["no_damage/grey.png"]
    assert "128 x 100 pixels" in reasons["damage/small.png"]
    assert "neither a PNG nor a JPEG" in reasons["damage/broken.jpg"]
    first = rows.filter(pl.col("tile_id") == "damage/-95.02_29.52.png").row(0, named=True)
    assert (first["longitude_deg"], first["latitude_deg"], first["is_damaged"]) == (-95.02, 29.52, True)


def test_an_own_csv_names_places_and_times(folder):
    table = folder / "labels.csv"
    name = "damage/-95.00_29.50.png"
    table.write_text(
        "file,label,longitude_deg,latitude_deg,event_time\n"
        f"{name},damage,-90.5,30.25,2024-03-01T10:00:00+01:00\n"
        f"{name},damage,,,2024-03-02\n"
        f"{name},damage,east,30,2024-03-02\n"
    )
    rows = own(table)
    assert rows["longitude_deg"].to_list() == [-90.5, -95.0, None]
    assert rows["event_time"][0] == datetime(2024, 3, 1, 9, tzinfo=UTC)
    assert rows["parse_errors"].to_list()[:2] == [None, None]
    assert "'east', '30' are no degrees" in rows["parse_errors"][2]
    assert rows["is_new_place"].to_list() == [None] * 3  # the spine has not split them yet


def test_own_data_without_a_path_are_refused():
    with pytest.raises(ConfigurationError, match="No own data"):
        ingest(IngestParameters(source="own"))
