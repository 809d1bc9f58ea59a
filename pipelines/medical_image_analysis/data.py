"""Chest radiographs: simulated with a known ceiling, PneumoniaMNIST with its official split, or your own."""

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
from pipelines.medical_image_analysis import descriptors
from pipelines.medical_image_analysis.simulator import SIDE, SimulationParameters, simulate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

FORMAT = ImageFormat(side=SIDE, channels=1, max_bytes=5_000_000)
"""Of every picture; a flat-panel detector has at most 18 million pixels, in PNG or JPEG of 8 bits below 5 MB."""

UNKNOWN = "unknown"
"""``scanner_id`` where it is not known."""

CONTRACT = Contract(
    key="exam_id",
    event_time="event_time",
    target="is_pneumonia",
    group="patient_id",
    columns=(
        Column(name="exam_id", dtype="string", description="Identifies the picture."),
        Column(name="event_time", dtype="datetime", description="When it was taken; the publication's day if unknown."),
        Column(name="patient_id", dtype="string", description="Who is on it.", sensitive=True),
        Column(name="scanner_id", dtype="string", description=f"What took it; '{UNKNOWN}' if not known."),
        Column(name="is_pneumonia", dtype="bool", description="Whether the exam was labelled as pneumonia."),
        *descriptors.COLUMNS,
    ),
    media=(
        Media(
            name="image",
            dtype="uint8",
            shape=FORMAT.shape,
            description="Grey values 0 to 255, (H, W), rows from the top, the patient's right on the left.",
        ),
    ),
)
"""What records promise."""

_PUBLISHED = datetime(2018, 2, 22, tzinfo=UTC)
"""Kermany et al., Cell 172(5): the pictures of PneumoniaMNIST name no time of their own."""

_OFFICIAL_COUNTS = {"train": (4_708, 3_494), "valid": (524, 389), "test": (624, 390)}
"""Split to pictures and pictures with pneumonia, as MedMNIST publishes them."""


class IngestParameters(TableSourceParameters):
    """Where radiographs come from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["pneumonia_mnist"] = Field("pneumonia_mnist", description="Public data set.")
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated hospital.")
    classes: Mapping[str, bool] = Field(
        {"normal": False, "pneumonia": True},
        description="Own data: name of a sub-folder or label to whether it means pneumonia.",
    )
    min_share: float = Field(
        0.02, ge=0, lt=0.5, description="Share of the rarer class below which the labels cannot be right."
    )


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's exams.

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
            rows, pictures = simulate(params.simulation)
            return with_pictures(rows.drop("severity", "true_risk"), pictures)
        case "public":
            return with_pictures(*_public(params.dataset))
        case "own":
            return with_pictures(*_own(params))


def read_radiograph(content: bytes) -> NDArray[np.uint8]:
    """Returns the grey values of a PNG or JPEG file, shape (28, 28), made as PneumoniaMNIST was.

    Raises:
        ValueError: The bytes are no such image; see :func:`modelyard.tasks.images.decoding.read_image`.
    """
    return read_image(content, FORMAT)


def with_pictures(rows: pl.DataFrame, pictures: NDArray[np.uint8]) -> pl.DataFrame:
    """Returns rows with their pictures, shape (N, H, W), and what is measured on these."""
    image = pl.Series("image", pictures.reshape(len(pictures), SIDE * SIDE))
    return rows.hstack(descriptors.describe(pictures)).hstack([image])


def _own(params: IngestParameters) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    rows, pictures = read_own_media(
        params.path,
        read_radiograph,
        media="image",
        blank=FORMAT.blank,
        endings=ENDINGS,
        key="exam_id",
        target="is_pneumonia",
        classes=params.classes,
        group="patient_id",
        columns=("scanner_id",),
        headers=params.columns,
        table_format=params.format,
    )
    known = rows.with_columns(
        pl.col("patient_id").fill_null(pl.col("exam_id")), pl.col("scanner_id").fill_null(UNKNOWN)
    )
    return known, np.stack(pictures)


def _public(name: str) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    """Returns the official set, rebuilt from its two parts; see the caveats in the catalogue."""
    from modelyard.public_data.fetch import fetch

    folder = fetch(name)
    whole, balanced = (
        np.load(folder / part / "pneumoniamnist.npz", allow_pickle=False) for part in ("imbalanced", "undersampled")
    )
    # One copy lacks normal training pictures, the other one ill ones; each has all of the other class.
    normal = balanced["train_images"][balanced["train_labels"][:, 0] == 0]
    ill = whole["train_images"][whole["train_labels"][:, 0] == 1]
    parts = {
        "train": (np.concatenate([normal, ill]), np.arange(len(normal) + len(ill)) >= len(normal)),
        "valid": (whole["val_images"], whole["val_labels"][:, 0] == 1),
        "test": (whole["test_images"], whole["test_labels"][:, 0] == 1),
    }
    _check_counts({split: (len(label), int(label.sum())) for split, (_, label) in parts.items()})
    rows = pl.concat(
        pl.DataFrame({"is_pneumonia": label}).select(
            pl.format("{}_{}", pl.lit(split), pl.int_range(pl.len())).alias("exam_id"),
            pl.lit(_PUBLISHED, dtype=pl.Datetime("us", "UTC")).alias("event_time"),
            pl.format("{}_{}", pl.lit(split), pl.int_range(pl.len())).alias("patient_id"),
            pl.lit(UNKNOWN).alias("scanner_id"),
            "is_pneumonia",
            pl.lit(split).alias("split"),
        )
        for split, (_, label) in parts.items()
    )
    return rows, np.concatenate([pictures for pictures, _ in parts.values()])


def _check_counts(found: Mapping[str, tuple[int, int]]) -> None:
    if found != _OFFICIAL_COUNTS:
        raise DataContractError(
            f"The rebuilt set has {found} (pictures, with pneumonia), the official one {_OFFICIAL_COUNTS}.",
            where="pneumonia_mnist",
            way_out="kedro data verify pneumonia_mnist",
        )


def expectations(params: IngestParameters) -> list[Expectation]:
    """What exams must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`; they decide how rare a class may be.
    """
    import great_expectations.expectations as gxe

    return [
        *bounds_expectations(descriptors.BOUNDS),
        gxe.ExpectColumnValuesToBeBetween(
            column="contrast_ratio",
            min_value=0.01,
            description="A picture of nearly one grey value shows no chest: a blank exposure or a broken file.",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="saturated_share",
            max_value=0.9,
            description="At most nine tenths of the pixels are black or white: else the exposure has failed.",
        ),
        *class_balance_expectations("is_pneumonia", params.min_share),
    ]
