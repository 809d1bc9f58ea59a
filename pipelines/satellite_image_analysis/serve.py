"""The API: a tile in, a probability and one of three answers out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from modelyard.tasks.earlier_rows import UNKNOWN
from pipelines.satellite_image_analysis.features import LEVELS
from pipelines.satellite_image_analysis.pictures import CHANNELS, SIDE, read_tile

if TYPE_CHECKING:
    import polars as pl

_LARGEST_TEXT = 400_000
"""Characters of base64: six times what an uncompressed tile needs."""


class TileRequest(BaseModel):
    """One tile with a building in its centre, and what is known about its region."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(
        max_length=_LARGEST_TEXT,
        description=f"PNG or JPEG in base64: red, green, blue with 8 bits each, {SIDE} x {SIDE} pixels.",
    )
    event_time: AwareDatetime | None = Field(None, description="When it was taken, with its offset from UTC.")
    region_id: str = Field(UNKNOWN, description="Square of one degree that it lies in.")
    region_brightness_7d: float | None = Field(
        None, ge=0, le=1, description="Mean brightness of the region's tiles of the last 7 days, 0 to 1."
    )
    region_contrast_7d: float | None = Field(
        None, ge=0, le=1, description="Mean contrast of the region's tiles of the last 7 days, 0 to 1."
    )

    @field_validator("image")
    @classmethod
    def _is_a_tile(cls, text: str) -> str:
        read_tile(_bytes_of(text))
        return text


class TileResponse(BaseModel):
    """The answer."""

    damage_probability: float = Field(description="Calibrated probability that the building is damaged.")
    answer: Literal["damaged", "not damaged", "look yourself"] = Field(
        description="`look yourself` where the model is too unsure to say."
    )
    disagreement: float = Field(description="Standard deviation of the networks' own probabilities.")


_EXAMPLE_JPEG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAEMuMjoyKkM6NjpLR0NPZKZsZFxcZMySmnmm8dT++u3U6eX//////////+Xp////////"
    "////////////////////2wBDAUdLS2RXZMRsbMT//+n/////////////////////////////////////////////////////////"
    "////////////wAARCACAAIADASIAAhEBAxEB/8QAFwABAQEBAAAAAAAAAAAAAAAAAAECA//EAB8QAQACAwEAAwEBAAAAAAAAAAAB"
    "EQIhMUFRYXGBEv/EABUBAQEAAAAAAAAAAAAAAAAAAAAB/8QAFhEBAQEAAAAAAAAAAAAAAAAAAAER/9oADAMBAAIRAxEAPwDACAFF"
    "ABRQCoAqAAAAC44zIILlFSgCwiwDUB04geEwqAxOhZRQDh/QAh0xx+QTHC24ilFGcouHOnZnKEHJcUUGurLnOU3qW43GwVJVL0gz"
    "KerJ7dqIs9tAB0wy+XOvfG8YFassBWhlYExxAEF/0gC2Wi68kFW0NCmiurX2Y9BmI23BziiwAALSZosSuYKCUKgh+L9yn8Aa17ov"
    "5I2aVTnVhOyQg17+Fs5TtL10GydMxl8mUhq2MWtiAAoioAEHlCLE1KwkNAdJ0tyxIH6h+EAAAAAKiih4JYAAgRM3vgA3cUzKAHDw"
    "KACpAAAVFlAAAAAAAAAWG/GcWrsCmZhqJKBikbpJgH//2Q=="
)

EXAMPLE = TileRequest.model_construct(
    image=_EXAMPLE_JPEG,
    event_time=None,
    region_id="-96.0_29.0",
    region_brightness_7d=0.4,
    region_contrast_7d=0.12,
)
"""A valid request (not validated here: that would import numpy with every command): a simulated tile."""


def decode(requests: Sequence[TileRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row, with what is measured on each tile.

    Raises:
        ValueError: An image cannot be read.
    """
    import numpy as np
    import polars as pl

    from pipelines.satellite_image_analysis.data import with_tiles

    schema: dict[str, Any] = {
        "event_time": pl.Datetime("us", "UTC"),
        "region_id": pl.String,
        **dict.fromkeys(LEVELS, pl.Float64),
    }
    rows = pl.DataFrame([{name: getattr(request, name) for name in schema} for request in requests], schema=schema)
    tiles = [read_tile(_bytes_of(request.image)) for request in requests]
    return with_tiles(rows, np.stack(tiles) if tiles else np.zeros((0, SIDE, SIDE, CHANNELS), np.uint8))


def encode(predictions: pl.DataFrame) -> list[TileResponse]:
    """Predictions to one response for each request, in order."""
    return [
        TileResponse(
            damage_probability=row["score"],
            answer="look yourself" if row["is_referred"] else "damaged" if row["is_called"] else "not damaged",
            disagreement=row["disagreement"],
        )
        for row in predictions.iter_rows(named=True)
    ]


def _bytes_of(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("the image is no base64 text (the bytes of the file, nothing in front)") from error
