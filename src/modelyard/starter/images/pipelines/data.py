"""Pictures of machine parts: simulated with a known ceiling, or your own folder."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from pydantic import Field

from modelyard.own_data.format import TableSourceParameters
from modelyard.records import Column, Contract, Media
from modelyard.tasks.classification import class_balance_expectations
from modelyard.tasks.images.decoding import ENDINGS, ImageFormat, read_image
from modelyard.tasks.images.descriptors import BOUNDS, COLUMNS, bounds_expectations, describe
from modelyard.tasks.own_media import read_own_media
from pipelines.starter_project.simulator import SimulationParameters, simulate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

FORMAT = ImageFormat(side=32, channels=1)
"""What pictures look like; others are cut to their central square and resized."""

CLASSES = {"sound": False, "failing": True}
"""Names of the sub-folders of own data."""

CONTRACT = Contract(
    key="picture_id",
    event_time="event_time",
    target="is_failing",
    columns=(
        Column(name="picture_id", dtype="string", description="Identifies the picture; of own data, its file."),
        Column(name="event_time", dtype="datetime", description="When the picture was taken."),
        *COLUMNS,
        Column(name="is_failing", dtype="bool", description="Whether the part failed within the following week."),
    ),
    media=(
        Media(
            name="image",
            dtype="uint8",
            shape=FORMAT.shape,
            description="Grey, 0 black to 255 white, rows from the top.",
        ),
    ),
)
"""What records promise."""

RULE_OF_THUMB = "brightness_ratio"
"""The one column that a person without a model would look at."""


class IngestParameters(TableSourceParameters):
    """Where pictures come from. There is no well-known public data set for this toy, so none is offered."""

    source: Literal["simulated", "own"] = Field("simulated", description="Which source.")
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated parts.")
    min_class_share: float = Field(0.02, ge=0, lt=0.5, description="Least share of each class that can be right.")


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's pictures.

    Args:
        params: See :class:`IngestParameters`; a path names a folder with the sub-folders :data:`CLASSES`, or a CSV file
            with the columns ``file`` and ``label``.

    Returns:
        Columns of :data:`CONTRACT` and ``image``; own data may bring ``split`` and ``parse_errors``.

    Raises:
        ConfigurationError: ``source`` is ``own`` and no path is given, or nothing is there.
        DataContractError: There are no pictures, or folders that are no class.
    """
    if params.source == "simulated":
        rows, pictures = simulate(params.simulation.model_copy(update={"side": FORMAT.side}))
        rows = rows.drop("true_risk")
    else:
        rows, read = read_own_media(
            params.path,
            partial(read_image, image_format=FORMAT),
            media="image",
            blank=FORMAT.blank,
            endings=ENDINGS,
            key="picture_id",
            target="is_failing",
            classes=CLASSES,
            headers=params.columns,
            table_format=params.format,
        )
        pictures = np.stack(read)
    return rows.hstack(describe(pictures)).with_columns(pl.Series("image", pictures.reshape(len(pictures), -1)))


def expectations(params: IngestParameters) -> list[Expectation]:
    """What records must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`.
    """
    return [*class_balance_expectations("is_failing", params.min_class_share), *bounds_expectations(BOUNDS)]
