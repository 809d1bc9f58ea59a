"""Small colour pictures with the name of what they show: simulated, CIFAR-10, Fashion-MNIST, or your own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.parameters import SourceParameters
from modelyard.records import Column, Contract, Media
from modelyard.tasks.images.copies import without_copies_across
from modelyard.tasks.images.decoding import ENDINGS, ImageFormat, read_image
from modelyard.tasks.images.descriptors import BOUNDS, COLUMNS, bounds_expectations, describe
from modelyard.tasks.images.strangers import BLANK_KINDS, blank_pictures
from modelyard.tasks.own_media import labels_in, read_own_media
from pipelines.image_classification.official_archives import read_cifar10, read_fashion_mnist
from pipelines.image_classification.simulator import SIDE, STRANGER, SimulationParameters, simulate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

Pixels = NDArray[np.uint8]

FORMAT = ImageFormat(side=SIDE, channels=3, min_side=16)
"""Of every picture: others are cut to their central square and resized, or padded if that has 16 to 31 pixels."""

read_picture = partial(read_image, image_format=FORMAT)
"""``read_picture(content)`` returns the pixels of a file, in training and in service alike."""

CONTRACT = Contract(
    key="picture_id",
    event_time="event_time",
    target="label",
    columns=(
        Column(name="picture_id", dtype="string", description="Identifies the picture; else than simulated, its file."),
        Column(name="event_time", dtype="datetime", description="When it was taken; the publication's day if unknown."),
        Column(name="label", dtype="string", description=f"What it shows, or '{STRANGER}', which is never learnt."),
        Column(
            name="origin", dtype="string", description="Where it is from: simulated, own, a data set, or made blank."
        ),
        *COLUMNS,
    ),
    media=(
        Media(
            name="image",
            dtype="uint8",
            shape=FORMAT.shape,
            description="Red, green, blue of 0 to 255, (H, W, C), rows from the top.",
        ),
    ),
)
"""What records promise."""

_GARMENTS = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
_ANIMALS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_WHOLE = "_full"
_STRANGERS_OF = {"cifar10": "fashion_mnist", "fashion_mnist": "cifar10"}
"""Each public set is the other's stranger."""

_PUBLISHED = {"cifar10": datetime(2009, 4, 8, tzinfo=UTC), "fashion_mnist": datetime(2017, 8, 25, tzinfo=UTC)}
"""Days of the technical report and of arXiv:1708.07747; the pictures name no time of their own."""

_OFFICIAL_COUNTS = {"cifar10": {"train": 1_500, "test": 300}, "fashion_mnist": {"train": 800, "test": 250}}
"""Pictures of each of ten classes, of our part of the sets."""

_VALID_SHARE = 0.1
_N_STRANGERS, _N_BLANK = 30, 40
"""Pictures of each class of the other set, and of each kind of blank ones, that stand in the test."""


class IngestParameters(SourceParameters):
    """Where pictures come from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["cifar10", "fashion_mnist", "cifar10_full", "fashion_mnist_full"] = Field(
        "cifar10", description="Public data set: the part that this repository measures, or all of it."
    )
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated figures.")
    classes: Mapping[str, str] = Field(
        {},
        description="Own data: sub-folder or label to the name of its class; several may mean one. Empty: each is one.",
    )


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's pictures.

    Args:
        params: See :class:`IngestParameters`; a path names a folder with a sub-folder for each class, or a CSV file
            with the columns ``file`` and ``label``. The folder or label ``none of the classes`` holds strangers.

    Returns:
        Columns of :data:`CONTRACT` and ``image``; ``split`` of public and own data, ``unused`` for copies of pictures
        in a later split; ``parse_errors`` of own data.

    Raises:
        DataContractError: The own data cannot be understood, or the public ones are not those described.
        ConfigurationError: ``source`` is ``own`` and nothing is there.
        FetchError: The public data cannot be brought here.
    """
    match params.source:
        case "simulated":
            return with_pictures(*simulate(params.simulation))
        case "public":
            rows, pictures = _public(params.dataset)
        case "own":
            rows, pictures = _own(params)
    return with_pictures(without_copies_across(rows, pictures), pictures)


def with_pictures(rows: pl.DataFrame, pictures: Pixels) -> pl.DataFrame:
    """Returns rows with their pictures, shape (N, 32, 32, 3), and what is measured on these."""
    return rows.hstack(describe(pictures)).hstack([pl.Series("image", pictures.reshape(len(pictures), -1))])


def _own(params: IngestParameters) -> tuple[pl.DataFrame, Pixels]:
    classes = params.classes or {name: name for name in labels_in(params.path)} if params.path else {}
    rows, pictures = read_own_media(
        params.path,
        read_picture,
        media="image",
        blank=FORMAT.blank,
        endings=ENDINGS,
        key="picture_id",
        target="label",
        classes=classes,
    )
    return rows.with_columns(pl.lit("own").alias("origin")), np.stack(pictures)


def _public(name: str) -> tuple[pl.DataFrame, Pixels]:
    """Returns the set with its official test and the last tenth of each training class to validate; and strangers."""
    rows, pictures = _whole(name) if name.endswith(_WHOLE) else _part(name)
    other = _STRANGERS_OF[name.removesuffix(_WHOLE)]
    files, _, parts = _files_of(other)
    strange = [
        file for file, part in zip(files, parts, strict=True) if part == "test" and int(file.stem) < _N_STRANGERS
    ]
    names = [f"{other}/{file.parent.name}/{file.name}" for file in strange]
    names += [f"{kind}/{number:02d}" for kind in BLANK_KINDS for number in range(_N_BLANK)]
    origins = [other] * len(strange) + [kind for kind in BLANK_KINDS for _ in range(_N_BLANK)]
    strangers = pl.DataFrame(
        {"picture_id": names, "label": [STRANGER] * len(names), "split": ["test"] * len(names), "origin": origins}
    )
    published = pl.lit(_PUBLISHED[name.removesuffix(_WHOLE)], dtype=pl.Datetime("us", "UTC")).alias("event_time")
    made = [
        np.stack([read_picture(file.read_bytes()) for file in strange]),
        *(blank_pictures(_N_BLANK, FORMAT.shape, kind) for kind in BLANK_KINDS),
    ]
    known = rows.with_columns(pl.lit(name).alias("origin"))
    return pl.concat([known, strangers]).with_columns(published), np.concatenate([pictures, *made])


def _part(name: str) -> tuple[pl.DataFrame, Pixels]:
    files, labels, splits = _files_of(name)
    names = [f"{file.parents[1].name}/{file.parent.name}/{file.name}" for file in files]
    rows = pl.DataFrame({"picture_id": names, "label": labels, "split": splits})
    return rows, np.stack([read_picture(file.read_bytes()) for file in files])


def _whole(name: str) -> tuple[pl.DataFrame, Pixels]:
    from modelyard.public_data.fetch import fetch

    read, names = (read_cifar10, _ANIMALS) if name == "cifar10_full" else (read_fashion_mnist, _GARMENTS)
    official = read(fetch(name))
    rows = pl.DataFrame(
        {
            "picture_id": [f"{split}/{number:05d}" for number, split in enumerate(official.splits)],
            "label": np.array(names)[official.labels],
            "split": official.splits,
        },
        schema_overrides={"label": pl.String, "split": pl.String},
    )
    last_tenth = pl.int_range(pl.len()).over("split", "label") >= (1 - _VALID_SHARE) * pl.len().over("split", "label")
    is_valid = (pl.col("split") == "train") & last_tenth
    return rows.with_columns(
        pl.when(is_valid).then(pl.lit("valid")).otherwise(pl.col("split")).alias("split")
    ), official.pictures


def _files_of(name: str) -> tuple[list[Path], list[str], list[str]]:
    """Returns the files of a public set, what they show, and their splits.

    Raises:
        DataContractError: They are not as many as the set has.
        FetchError: The set cannot be brought here.
    """
    from modelyard.public_data.fetch import fetch

    root = fetch(name)
    folder = root if name == "cifar10" else root / "fashion_mnist_images"
    files, labels, splits = [], [], []
    for split, n in _OFFICIAL_COUNTS[name].items():
        for place in sorted(path for path in (folder / split).iterdir() if path.is_dir()):
            found = sorted(path for path in place.iterdir() if path.suffix in ENDINGS)
            if len(found) != n:
                raise DataContractError(
                    f"The set has {len(found)} pictures of '{place.name}' in '{split}', not {n}.",
                    where=str(place),
                    way_out=f"kedro data verify {name}",
                )
            n_valid = round(_VALID_SHARE * n) if split == "train" else 0
            files += found
            labels += [place.name if name == "cifar10" else _GARMENTS[int(place.name)]] * n
            splits += [split] * (n - n_valid) + ["valid"] * n_valid
    return files, labels, splits


def expectations(params: IngestParameters) -> list[Expectation]:
    """What records must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`.
    """
    import great_expectations.expectations as gxe

    return [
        *bounds_expectations(BOUNDS),
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="label", min_value=2, description="There are at least two classes: from one nothing can be learned."
        ),
        gxe.ExpectColumnValueLengthsToBeBetween(
            column="label", min_value=1, max_value=80, description="'label' is a name of at most 80 characters."
        ),
    ]
