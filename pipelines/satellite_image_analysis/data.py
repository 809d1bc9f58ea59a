"""Satellite tiles of buildings: simulated with a known ceiling, after Hurricane Harvey, or your own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.own_data.format import TableSourceParameters
from modelyard.records import Column, Contract, Media
from modelyard.tasks.classification import class_balance_expectations
from modelyard.tasks.images.decoding import ENDINGS, ImageFormat, read_image
from modelyard.tasks.images.descriptors import bounds_expectations
from modelyard.tasks.own_media import read_own_media
from pipelines.satellite_image_analysis import descriptors
from pipelines.satellite_image_analysis.places import with_coordinates, with_new_places, with_places
from pipelines.satellite_image_analysis.simulator import SIDE, SimulationParameters, simulate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

FORMAT = ImageFormat(side=SIDE, channels=3, crop="none", max_bytes=300_000)
"""Of every tile, six times an uncompressed one at most; resizing would change how large a house is."""

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
            shape=FORMAT.shape,
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


class IngestParameters(TableSourceParameters):
    """Where tiles come from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["hurricane_damage"] = Field("hurricane_damage", description="Public data set.")
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated coast.")
    classes: Mapping[str, bool] = Field(
        {"no_damage": False, "damage": True},
        description="Own data: name of a sub-folder or label to whether it means damage.",
    )
    min_share: float = Field(
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
        case "own":
            rows, tiles = _own(params)
    return with_tiles(with_new_places(with_places(with_coordinates(rows))), tiles)


def read_tile(content: bytes) -> NDArray[np.uint8]:
    """Returns red, green and blue of a PNG or JPEG file, shape (128, 128, 3).

    Raises:
        ValueError: The bytes are no such image (see :func:`modelyard.tasks.images.decoding.read_image`), or a grey one.
    """
    pixels = read_image(content, FORMAT)
    if (pixels == pixels[..., :1]).all():
        raise ValueError("the image is grey: water and grass are told apart by their colours")
    return pixels


def with_tiles(rows: pl.DataFrame, tiles: NDArray[np.uint8]) -> pl.DataFrame:
    """Returns rows with their tiles, shape (N, H, W, 3), and what is measured on these."""
    image = pl.Series("image", tiles.reshape(len(tiles), SIDE * SIDE * 3))
    return rows.hstack(descriptors.describe(tiles)).hstack([image])


def _own(params: IngestParameters) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    rows, tiles = read_own_media(
        params.path,
        read_tile,
        media="image",
        blank=FORMAT.blank,
        endings=ENDINGS,
        key="tile_id",
        target="is_damaged",
        classes=params.classes,
        columns=("longitude_deg", "latitude_deg"),
        headers=params.columns,
        table_format=params.format,
    )
    return rows, np.stack(tiles)


def _public(name: str) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    from modelyard.public_data.fetch import fetch

    folder = fetch(name)
    files = [(split, file) for split, part in _FOLDERS.items() for file in sorted((folder / part).glob("*/*.jpeg"))]
    rows = pl.DataFrame(
        {
            "tile_id": [file.relative_to(folder).as_posix() for _, file in files],
            "is_damaged": [file.parent.name == "damage" for _, file in files],
            "split": [split for split, _ in files],
        }
    ).with_columns(pl.lit(_PUBLISHED, dtype=pl.Datetime("us", "UTC")).alias("event_time"))
    counts = rows.group_by("split").agg(pl.len(), pl.col("is_damaged").sum())
    found = {split: (n, n_damaged) for split, n, n_damaged in counts.iter_rows()}
    if found != _OFFICIAL_COUNTS:
        raise DataContractError(
            f"The set has {found} (tiles, damaged ones), not {_OFFICIAL_COUNTS}.",
            where=str(folder),
            way_out=f"kedro data verify {name}",
        )
    return rows, np.stack([read_tile(file.read_bytes()) for _, file in files])


def expectations(params: IngestParameters) -> list[Expectation]:
    """What tiles must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`; they decide how rare a class may be.
    """
    import great_expectations.expectations as gxe

    bounds = {"longitude_deg": (-180.0, 180.0), "latitude_deg": (-90.0, 90.0), **descriptors.BOUNDS}
    return [
        *bounds_expectations(bounds),
        gxe.ExpectColumnValuesToBeBetween(
            column="contrast_ratio",
            min_value=0.005,
            description="A tile of nearly one grey value shows no building: a cloud, or the edge of a scene.",
        ),
        *class_balance_expectations("is_damaged", params.min_share),
    ]
