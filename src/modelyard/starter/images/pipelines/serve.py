"""The API: a picture in base64 in, the part's risk out; the picture is decoded once, by the code for own files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modelyard.tasks.images.decoding import read_image
from modelyard.tasks.images.descriptors import describe
from modelyard.tasks.images.request_image import Base64Image, RequestImage
from pipelines.starter_project.data import FORMAT

_MAX_BASE64 = 4_000_000
"""Characters: 3 MB of a file."""

_read = partial(read_image, image_format=FORMAT)


class PartRequest(BaseModel):
    """A picture of a part."""

    model_config = ConfigDict(extra="forbid")

    image: Annotated[RequestImage, Base64Image(_read, _MAX_BASE64)] = Field(
        description="A PNG or JPEG file in base64, in grey, at least 32 pixels on each side."
    )


class PartResponse(BaseModel):
    """The answer."""

    failure_probability: float = Field(description="How likely the part fails within a week.")


_EXAMPLE_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAIklEQVR42mOcxoAfMDGMKhhV"
    "QFcFLEcIKZCjVMFoUBOpAAB6bgHcLws5jwAAAABJRU5ErkJggg=="
)

EXAMPLE = PartRequest.model_construct(image=RequestImage(_EXAMPLE_PNG, _read))
"""A valid request, a grey square with a dark line; not decoded here, as that would import Pillow with every command."""


def decode(requests: Sequence[PartRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row."""
    pictures = np.stack([request.image.pixels for request in requests])
    return describe(pictures).with_columns(pl.Series("image", pictures.reshape(len(pictures), -1)))


def encode(predictions: pl.DataFrame) -> list[PartResponse]:
    """Predictions to one response for each request, in order."""
    return [PartResponse(failure_probability=value) for value in predictions["failure_probability"]]
