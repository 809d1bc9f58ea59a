"""The API: a tile in, a probability and one of three answers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.heat_maps import with_heat_maps
from modelyard.tasks.images.request_image import Base64Image, RequestImage, decoded
from pipelines.satellite_image_analysis.data import FORMAT, read_tile, with_tiles
from pipelines.satellite_image_analysis.evaluate import predict
from pipelines.satellite_image_analysis.model import FitParameters, to_tiles
from pipelines.satellite_image_analysis.places import UNKNOWN

MAX_TEXT = 400_000
"""Characters of base64: 300 kB of PNG."""


class TileRequest(BaseModel):
    """One tile with a building in its centre, and where it was taken."""

    model_config = ConfigDict(extra="forbid")

    image: Annotated[RequestImage, Base64Image(read_tile, MAX_TEXT)] = Field(
        description=f"PNG or JPEG in base64: red, green, blue with 8 bits each, {FORMAT.side} x {FORMAT.side} pixels.",
    )
    event_time: AwareDatetime | None = Field(None, description="When it was taken, with its offset from UTC.")
    region_id: str = Field(UNKNOWN, description="Square of one degree that it lies in.")
    explain: bool = Field(False, description="Whether the answer says where the networks looked; takes longer.")


class TileResponse(BaseModel):
    """The answer."""

    damage_probability: float = Field(description="Calibrated probability that the building is damaged.")
    answer: Literal["damaged", "not damaged", "look yourself"] = Field(
        description="`look yourself` where the model is too unsure to decide."
    )
    disagreement: float = Field(description="Standard deviation of the networks' own probabilities.")
    heat_map: list[list[float]] | None = Field(
        description="What speaks for damage (Grad-CAM), 0 to 1, in rows over the tile; null unless `explain`."
    )


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
    image=RequestImage(_EXAMPLE_JPEG, read_tile), event_time=None, region_id="-96.0_29.0"
)
"""A valid request (not decoded here: that would import Pillow with every command): a simulated tile."""


def decode(requests: Sequence[TileRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row, with what is measured on each tile."""
    schema: dict[str, pl.DataType] = {
        "event_time": pl.Datetime("us", "UTC"),
        "region_id": pl.String(),
        "explain": pl.Boolean(),
    }
    return with_tiles(*decoded(requests, schema, FORMAT.shape))


def answer(model: Ensemble[FitParameters], frame: pl.DataFrame) -> pl.DataFrame:
    """Returns the predictions, with a ``heat_map`` for the requests that ask for one.

    Args:
        model: A trained model.
        frame: What :func:`decode` returns.
    """
    side = model.params.input_side
    return with_heat_maps(predict(model, frame), frame, model.networks, lambda pixels: to_tiles(pixels, side))


def encode(predictions: pl.DataFrame) -> list[TileResponse]:
    """Predictions to one response for each request, in order."""
    return [
        TileResponse(
            damage_probability=row["score"],
            answer="look yourself" if row["is_deferred"] else "damaged" if row["is_predicted"] else "not damaged",
            disagreement=row["disagreement"],
            heat_map=row.get("heat_map"),
        )
        for row in predictions.iter_rows(named=True)
    ]
