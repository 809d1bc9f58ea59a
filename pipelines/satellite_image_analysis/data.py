"""Satellite tiles of buildings: simulated with a known ceiling, after Hurricane Harvey, or your own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.parameters import SourceParameters
from modelyard.records import Column, Contract, Media
from pipelines.satellite_image_analysis import descriptors
from pipelines.satellite_image_analysis.own_tiles import place_in_name, read_own_tiles
from pipelines.satellite_image_analysis.pictures import CHANNELS, SIDE, read_tile
from pipelines.satellite_image_analysis.places import with_new_places, with_places
from pipelines.satellite_image_analysis.simulator import SimulationParameters, simulate

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from great_expectations.expectations.expectation import Expectation
    from numpy.typing import NDArray

CONTRACT = Contract(
    key="tile_id",
    event_time="event_time",
    target="is_damaged",
    group="cell_id",
    columns=(
        Column(name="tile_id", dtype="string", description="Identifies the tile."),
        Column(name="event_time", dtype="datetime", description="When it was taken; the publication's day if unknown."),
        Column(name="longitude_deg", dtype="float64", description="Of the building.", unit="deg", nullable=True),
        Column(name="latitude_deg", dtype="float64", description="Of the building.", unit="deg", nullable=True),
        Column(name="cell_id", dtype="string", description="Square of 0.05 degrees; tiles in it resemble each other."),
        Column(name="region_id", dtype="string", description="Square of one degree; 'unknown' without coordinates."),
        Column(
            name="is_new_place",
            dtype="bool",
            description="Whether no training tile lies within 500 m; null where the split is not official.",
            nullable=True,
        ),
        Column(name="is_damaged", dtype="bool", description="Whether the building was labelled as damaged."),
        *descriptors.COLUMNS,
    ),
    media=(
        Media(
            name="image",
            dtype="uint8",
            shape=(SIDE, SIDE, CHANNELS),
            description="Red, green, blue of 0 to 255, (H, W, C), rows from the north.",
        ),
    ),
)
"""What records promise."""

_PUBLISHED = datetime(2018, 7, 4, tzinfo=UTC)
"""arXiv:1807.01688; the tiles name no time of their own."""

_FOLDERS = {"train": "train_another", "valid": "validation_another", "test": "test_another"}
_OFFICIAL_COUNTS = {"train": (1_250, 625), "valid": (250, 125), "test": (500, 250)}
"""Split to tiles and damaged ones, of our part of the set."""


class IngestParameters(SourceParameters):
    """Where tiles come from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["hurricane_damage"] = Field("hurricane_damage", description="Public data set.")
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated coast.")
    path: str = Field("", description="Own data: a folder with a sub-folder for each class, or a CSV file.")
    classes: Mapping[str, bool] = Field(
        {"no_damage": False, "damage": True},
        description="Own data: name of a sub-folder or label to whether it means damage.",
    )
    fewest_share: float = Field(
        0.02, ge=0, lt=0.5, description="Share of the rarer class below which the labels cannot be right."
    )


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's tiles.

    Args:
        params: See :class:`IngestParameters`.

    Returns:
        Columns of :data:`CONTRACT` and ``image``; the official ``split``; ``parse_errors`` of own data.

    Raises:
        DataContractError: The own data cannot be understood, or the public ones are not those described.
        ConfigurationError: ``source`` is ``own`` and nothing is there.
        FetchError: The public data cannot be brought here.
    """
    match params.source:
        case "simulated":
            rows, tiles = simulate(params.simulation)
            return with_tiles(with_places(rows.drop("severity", "true_risk")), tiles)
        case "public":
            rows, tiles = _public(params.dataset)
            return with_tiles(with_new_places(with_places(rows)), tiles)
        case "own":
            if not params.path:
                raise ConfigurationError(
                    "No own tiles are named.",
                    where="satellite_image_analysis.ingest.path",
                    way_out="set it to a folder with a sub-folder for each class, or to a CSV file",
                )
            rows, tiles = read_own_tiles(Path(params.path), params.classes)
            return with_tiles(with_new_places(with_places(rows)), tiles)


def with_tiles(rows: pl.DataFrame, tiles: NDArray[np.uint8]) -> pl.DataFrame:
    """Puts tiles, shape (N, H, W, 3), and what is measured on them beside the N rows they belong to."""
    import polars as pl

    image = pl.Series("image", tiles.reshape(len(tiles), -1))
    return rows.hstack(descriptors.describe(tiles)).hstack([image])


def _public(name: str) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    import numpy as np
    import polars as pl

    from modelyard.public_data.fetch import fetch

    folder = fetch(name)
    files = [(split, file) for split, part in _FOLDERS.items() for file in sorted((folder / part).glob("*/*.jpeg"))]
    types = {"longitude_deg": pl.Float64, "latitude_deg": pl.Float64}
    rows = pl.DataFrame(list(_rows(files, folder)), schema_overrides=types)
    counts = rows.group_by("split").agg(pl.len(), pl.col("is_damaged").sum())
    found = {split: (n, n_damaged) for split, n, n_damaged in counts.iter_rows()}
    if found != _OFFICIAL_COUNTS:
        raise DataContractError(
            f"The set has {found} (tiles, damaged ones), not {_OFFICIAL_COUNTS}.",
            where=str(folder),
            way_out=f"kedro data verify {name}",
        )
    tiles = np.stack([read_tile(file.read_bytes()) for _, file in files])
    return rows.with_columns(pl.lit(_PUBLISHED, dtype=pl.Datetime("us", "UTC")).alias("event_time")), tiles


def _rows(files: list[tuple[str, Path]], folder: Path) -> Iterator[dict[str, object]]:
    for split, file in files:
        longitude, latitude = place_in_name(file.stem)
        yield {
            "tile_id": file.relative_to(folder).as_posix(),
            "longitude_deg": longitude,
            "latitude_deg": latitude,
            "is_damaged": file.parent.name == "damage",
            "split": split,
        }


def expectations(params: IngestParameters) -> list[Expectation]:
    """What tiles must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`; they decide how rare a class may be.
    """
    import great_expectations.expectations as gxe

    bounds = [
        ("longitude_deg", -180.0, 180.0),
        ("latitude_deg", -90.0, 90.0),
        ("entropy_bit", 0.0, 5.0),
        ("green_excess_ratio", -2.0, 2.0),
        ("red_blue_ratio", -1.0, 1.0),
        *((name, 0.0, 1.0) for name in ("brightness_ratio", "contrast_ratio", "edge_ratio", "saturation_ratio")),
        *((name, 0.0, 1.0) for name in ("smooth_share", "haze_ratio")),
    ]
    return [
        *(
            gxe.ExpectColumnValuesToBeBetween(
                column=name, min_value=low, max_value=high, description=f"'{name}' lies between {low:g} and {high:g}."
            )
            for name, low, high in bounds
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="contrast_ratio",
            min_value=0.005,
            description="A tile of nearly one grey value shows no building: a cloud, or the edge of a scene.",
        ),
        gxe.ExpectColumnDistinctValuesToContainSet(
            column="is_damaged",
            value_set=[True, False],
            description="There are damaged and whole buildings: from one class nothing can be learned.",
        ),
        gxe.ExpectColumnMeanToBeBetween(
            column="is_damaged",
            min_value=params.fewest_share,
            max_value=1 - params.fewest_share,
            description=f"Each class has at least {params.fewest_share:.0%} of the tiles: else labels were mixed up.",
        ),
    ]
