"""Digits, prepared as MNIST's: simulated, MNIST, or your own."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
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
from modelyard.tasks.images.decoding import ENDINGS
from modelyard.tasks.images.descriptors import bounds_expectations
from modelyard.tasks.images.idx import read_idx
from modelyard.tasks.own_media import labels_in, read_own_media
from pipelines.handwritten_digit_recognition.preparation import FORMAT, SIDE, ink_of, prepare, read_digit
from pipelines.handwritten_digit_recognition.simulator import (
    CLASSES,
    STRANGER,
    SimulationParameters,
    scribbled,
    simulate,
)

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

Pixels = NDArray[np.uint8]

BOUNDS: Mapping[str, tuple[float, float]] = {
    "ink_share": (0.0, 1.0),
    "stroke_width_px": (0.0, SIDE),
    "slant_deg": (-90.0, 90.0),
    "aspect_ratio": (0.0, SIDE),
    "off_centre_px": (0.0, SIDE),
    "component_count": (0, SIDE * SIDE),
    "hole_count": (0, SIDE * SIDE),
}
"""Between which values each descriptor can lie."""

CONTRACT = Contract(
    key="picture_id",
    event_time="event_time",
    target="label",
    columns=(
        Column(name="picture_id", dtype="string", description="Identifies the picture; else than simulated, its file."),
        Column(name="event_time", dtype="datetime", description="When it was written; the publication if unknown."),
        Column(name="label", dtype="string", description=f"The digit, or '{STRANGER}', which is never learnt."),
        Column(
            name="origin", dtype="string", description="Where it is from: simulated, own, a data set, or scribbled."
        ),
        Column(name="ink_share", dtype="float64", description="Mean of the ink over the whole prepared picture."),
        Column(
            name="stroke_width_px", dtype="float64", unit="px", description="Twice the inked area over its outline."
        ),
        Column(name="slant_deg", dtype="float64", unit="deg", description="Lean to the right, by second moments."),
        Column(name="aspect_ratio", dtype="float64", description="Width of the digit's box over its height."),
        Column(
            name="off_centre_px",
            dtype="float64",
            unit="px",
            description="From the middle of the digit's box to its centre of mass.",
        ),
        Column(name="component_count", dtype="int64", description="Connected pieces of ink."),
        Column(name="hole_count", dtype="int64", description="Pieces of paper that ink encloses."),
    ),
    media=(
        Media(
            name="image",
            dtype="uint8",
            shape=FORMAT.shape,
            description="Ink of 0 to 255, (H, W), rows from the top; as the preparation leaves it.",
        ),
    ),
)
"""What records promise."""

_PUBLISHED = datetime(1998, 11, 1, tzinfo=UTC)
"""Month of LeCun et al. 1998; the digits name no time of their own."""

_N_TRAIN, _N_TEST = 20_000, 10_000
_VALID_SHARE = 0.1
_N_SCRIBBLES, _N_GARMENTS = 300, 30
"""Scribbles, and pictures of each class of Fashion-MNIST, that stand in the public test."""


class IngestParameters(SourceParameters):
    """Where digits come from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["mnist", "mnist_full"] = Field(
        "mnist", description="Public data set: a third of MNIST's training digits, or all of them."
    )
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated pens.")


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's digits.

    Args:
        params: See :class:`IngestParameters`; a path names a folder with a sub-folder for each of the digits 0 to 9, a
            CSV file with the columns ``file`` and ``label``, or a folder with MNIST's four IDX files. The folder or
            label ``no digit`` holds pictures of something else.

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
            rows, drawn = simulate(params.simulation)
            return with_pictures(rows, prepared(drawn))
        case "public":
            rows, pictures = _public(params.dataset)
        case "own":
            rows, pictures = _own(params.path)
    return with_pictures(without_copies_across(rows, pictures), pictures)


def prepared(drawn: Pixels) -> Pixels:
    """Returns opaque pictures with one digit each as the model reads them, (N, H, W) to (N, 28, 28)."""
    opaque = np.full(drawn.shape[1:], 255, np.uint8)
    return np.stack([prepare(ink_of(one, opaque)) for one in drawn])


def with_pictures(rows: pl.DataFrame, pictures: Pixels) -> pl.DataFrame:
    """Returns rows with their pictures, shape (N, 28, 28), and what is measured on these."""
    return rows.hstack(describe(pictures)).hstack([pl.Series("image", pictures.reshape(len(pictures), -1))])


def describe(pictures: Pixels) -> pl.DataFrame:
    """Returns the columns of :data:`BOUNDS` for N prepared pictures; 0 where there is no ink."""
    ink = pictures.astype(np.float64) / 255
    is_ink = pictures >= 128
    area = is_ink.sum(axis=(1, 2))
    # Crofton: steps between ink and paper along both axes, times pi / 4, are the length of the outline.
    outline = sum(np.abs(np.diff(is_ink.astype(np.int8), axis=axis)).sum(axis=(1, 2)) for axis in (1, 2)) * np.pi / 4
    (left, width), (top, height) = (_extent(np.asarray(is_ink.any(axis=axis))) for axis in (1, 2))
    mass = np.maximum(ink.sum(axis=(1, 2)), 1e-9)
    place = np.arange(SIDE)
    mean_x, mean_y = ((ink.sum(axis=axis) * place).sum(axis=1) / mass for axis in (1, 2))
    from_x, from_y = place - mean_x[:, None], place - mean_y[:, None]
    along_y = (ink * from_y[:, :, None] ** 2).sum(axis=(1, 2))
    across = (ink * from_y[:, :, None] * from_x[:, None, :]).sum(axis=(1, 2))
    off_centre = np.hypot(mean_x - (left + (width - 1) / 2), mean_y - (top + (height - 1) / 2))
    components, holes = (
        _components(is_ink),
        _components(np.pad(~is_ink, ((0, 0), (1, 1), (1, 1)), constant_values=True), is_paper=True) - 1,
    )
    has_ink = area > 0
    return pl.DataFrame(
        {
            "ink_share": ink.mean(axis=(1, 2)),
            "stroke_width_px": 2 * area / np.maximum(outline, 1e-9),
            "slant_deg": np.degrees(np.arctan(-across / np.maximum(along_y, 1e-9))),
            "aspect_ratio": width / np.maximum(height, 1),
            "off_centre_px": np.where(has_ink, off_centre, 0.0),
            "component_count": components.astype(np.int64),
            "hole_count": holes.astype(np.int64),
        }
    )


def _extent(is_there: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the first place with ink and the number of places from it to the last, for (N, 28) places."""
    first = is_there.argmax(axis=1)
    last = is_there.shape[1] - 1 - is_there[:, ::-1].argmax(axis=1)
    return first, np.where(is_there.any(axis=1), last - first + 1, 0)


def _components(is_there: NDArray[np.bool_], *, is_paper: bool = False) -> NDArray[np.int64]:
    """Returns the connected pieces of each picture; ink connects over corners, paper does not."""
    from scipy.ndimage import generate_binary_structure, label  # type: ignore[import-untyped]  # scipy has no types

    flat = generate_binary_structure(2, 1 if is_paper else 2)
    apart = np.stack([np.zeros_like(flat), flat, np.zeros_like(flat)])
    pieces, n_pieces = label(is_there, apart)
    owner = np.zeros(n_pieces + 1, np.int64)
    owner[pieces] = np.arange(len(is_there))[:, None, None]
    return np.bincount(owner[1:], minlength=len(is_there)).astype(np.int64)


def _own(path: str) -> tuple[pl.DataFrame, Pixels]:
    if path and Path(path).is_dir() and any(Path(path).glob("*-images-idx3-ubyte*")):
        return _idx_files(Path(path), "own")
    labels = labels_in(path) if path else []
    classes = {name: name for name in (*CLASSES, STRANGER)} | {
        f"0{name}": name for name in CLASSES if f"0{name}" in labels
    }
    rows, pictures = read_own_media(
        path,
        read_digit,
        media="image",
        blank=FORMAT.blank,
        endings=ENDINGS,
        key="picture_id",
        target="label",
        classes=classes,
    )
    return rows.with_columns(pl.lit("own").alias("origin")), np.stack(pictures)


def _public(name: str) -> tuple[pl.DataFrame, Pixels]:
    """Returns the set with its official test, the last tenth of training to validate; and strangers in the test."""
    from modelyard.public_data.fetch import fetch

    folder = fetch(name)
    rows, pictures = _idx_files(folder, name) if name == "mnist_full" else _png_and_idx(folder)
    garments = _garments(fetch("fashion_mnist") / "fashion_mnist_images" / "test")
    strange = [
        _rows([f"{origin}/{number:03d}" for number in range(n)], [STRANGER] * n, origin, ["test"] * n)
        for origin, n in (("fashion_mnist", len(garments)), ("scribbled", _N_SCRIBBLES))
    ]
    return pl.concat([rows, *strange]), np.concatenate([pictures, garments, prepared(scribbled(_N_SCRIBBLES))])


def _garments(folder: Path) -> Pixels:
    """Returns the first pictures of each class that the preparation takes; a garment that fills the picture is none."""
    found = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        for file in sorted(place.glob("*.png"))[:_N_GARMENTS]:
            with contextlib.suppress(ValueError):
                found.append(read_digit(file.read_bytes()))
    if not found:
        raise DataContractError(
            "There are no garments that could be strangers.",
            where=str(folder),
            way_out="kedro data verify fashion_mnist",
        )
    return np.stack(found)


def _png_and_idx(folder: Path) -> tuple[pl.DataFrame, Pixels]:
    files = sorted((folder / "training").rglob("*.png"), key=lambda file: int(file.stem))
    if len(files) != _N_TRAIN:
        raise DataContractError(
            f"The set has {len(files):,} training digits, not {_N_TRAIN:,}.",
            where=str(folder / "training"),
            way_out="kedro data verify mnist",
        )
    learnt = np.stack([_raw(file) for file in files])
    tested, labels = _pair(folder, "t10k")
    rows = pl.concat(
        [
            _rows(
                [f.relative_to(folder).as_posix() for f in files],
                [f.parent.name for f in files],
                "mnist",
                _splits(len(files)),
            ),
            _rows(_names("t10k", len(labels)), [str(label) for label in labels], "mnist", ["test"] * len(labels)),
        ]
    )
    return rows, prepared(np.concatenate([learnt, tested]))


def _raw(file: Path) -> Pixels:
    from PIL import Image

    with Image.open(file) as picture:
        return np.array(picture.convert("L"), np.uint8)


def _idx_files(folder: Path, origin: str) -> tuple[pl.DataFrame, Pixels]:
    """Returns the digits of MNIST's four IDX files, in their order."""
    parts, pictures = [], []
    for prefix, is_train in (("train", True), ("t10k", False)):
        seen, labels = _pair(folder, prefix)
        splits = _splits(len(labels)) if is_train else ["test"] * len(labels)
        parts.append(_rows(_names(prefix, len(labels)), [str(label) for label in labels], origin, splits))
        pictures.append(seen)
    return pl.concat(parts), prepared(np.concatenate(pictures))


def _pair(folder: Path, prefix: str) -> tuple[Pixels, NDArray[np.uint8]]:
    """Returns pictures and labels of one part; each file may be gzipped.

    Raises:
        DataContractError: A file is missing or damaged, or the two do not belong together.
    """
    found = []
    for what in ("images-idx3", "labels-idx1"):
        path = next((p for p in sorted(folder.glob(f"{prefix}-{what}-ubyte*")) if p.suffix in ("", ".gz")), None)
        if path is None:
            raise DataContractError(
                f"There is no file {prefix}-{what}-ubyte, gzipped or not.",
                where=str(folder),
                way_out="put MNIST's four files there: train and t10k, images and labels",
            )
        found.append(read_idx(path))
    seen, labels = found
    if seen.shape[1:] != (SIDE, SIDE) or labels.shape != seen.shape[:1] or labels.max(initial=0) > 9:
        raise DataContractError(
            f"'{prefix}' has pictures of shape {seen.shape}, labels of shape {labels.shape} up to"
            f" {labels.max(initial=0)}; digits are {SIDE} x {SIDE}, and labels 0 to 9, one for each.",
            where=str(folder),
            way_out="bring the pictures to this size, or use a folder of PNG files with a sub-folder for each digit",
        )
    return seen, labels


def _names(prefix: str, n: int) -> list[str]:
    return [f"{prefix}/{number:05d}" for number in range(n)]


def _splits(n: int) -> list[str]:
    n_valid = round(_VALID_SHARE * n)
    return ["train"] * (n - n_valid) + ["valid"] * n_valid


def _rows(names: list[str], labels: list[str], origin: str, splits: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "picture_id": names,
            "event_time": [_PUBLISHED] * len(names),
            "label": labels,
            "origin": [origin] * len(names),
            "split": splits,
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC")},
    )


def expectations(params: IngestParameters) -> list[Expectation]:
    """What records must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`.
    """
    import great_expectations.expectations as gxe

    return [
        *bounds_expectations(BOUNDS),
        gxe.ExpectColumnValuesToBeInSet(
            column="label",
            value_set=[*CLASSES, STRANGER],
            description="'label' is a digit, or says that there is none.",
        ),
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="label", min_value=2, description="There are at least two digits: from one nothing can be learned."
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="ink_share", min_value=0.005, description="There is ink: an empty canvas teaches nothing."
        ),
    ]
