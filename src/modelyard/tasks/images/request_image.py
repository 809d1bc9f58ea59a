"""A picture in a request: base64 text whose pixels are counted before they are decoded, once.

The server validates the header of each picture, counts the pixels of all of them together (:func:`pixel_budget`), and
decodes them only then. In Python, and where a file of requests is read, a picture is decoded when it is validated.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

from modelyard.project import Budget
from modelyard.tasks.images.decoding import declared_pixels

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

Read = Callable[[bytes], NDArray[np.uint8]]


class RequestImage(str):
    """A picture as a client sent it: the file's bytes in base64.

    Args:
        text: The text.
        read: ``read(content)`` returns the pixels of a file's bytes, or raises ``ValueError``.
    """

    read: Read

    def __new__(cls, text: str, read: Read) -> Self:
        """Keeps ``read`` beside the text."""
        image = super().__new__(cls, text)
        image.read = read
        return image

    @cached_property
    def n_pixels(self) -> int:
        """Returns how many pixels the file's header declares.

        Raises:
            ValueError: The text is no base64, or its bytes are no PNG or JPEG.
        """
        return declared_pixels(self._content())

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """Returns the decoded picture; decoded on first use.

        Raises:
            ValueError: The text is no base64, or its bytes are no picture that ``read`` takes.
        """
        return self.read(self._content())

    def decode_media(self) -> None:
        """See :class:`modelyard.project.EncodedMedia`."""
        self.pixels  # noqa: B018 - the decoded picture stays with the request

    def _content(self) -> bytes:
        try:
            return base64.b64decode(self, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("the image is no base64 text (the bytes of the file, nothing in front)") from error


def pixel_budget(most: int) -> Budget:
    """Returns the limit of the pixels that the pictures of one request may have together.

    Args:
        most: Pixels; at least those of the largest picture that the project takes.
    """
    return Budget(of=_pixels_of, most=most, unit="pixels")


def _pixels_of(request: Any) -> float:
    return float(request.image.n_pixels)


@dataclass(frozen=True)
class Base64Image:
    """How pydantic validates a :class:`RequestImage`: ``image: Annotated[RequestImage, Base64Image(read, limit)]``.

    In JSON it is the text, both ways.

    Args:
        read: See :class:`RequestImage`.
        max_length: Characters of base64: four for three bytes of the file. Below the server's limit of a request.
    """

    read: Read
    max_length: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Returns the schema of text that becomes a picture: with a look at its header in JSON, decoded in Python."""
        from pydantic_core import core_schema

        text = core_schema.str_schema(max_length=self.max_length)
        decode = core_schema.no_info_after_validator_function(self._decoded, text)
        known = core_schema.is_instance_schema(RequestImage)
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(self._looked_at, text),
            python_schema=core_schema.union_schema([known, decode]),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Returns the JSON schema of base64 text."""
        return {"type": "string", "contentEncoding": "base64", "maxLength": self.max_length}

    def _looked_at(self, text: str) -> RequestImage:
        image = RequestImage(text, self.read)
        image.n_pixels  # noqa: B018 - the number stays with the request
        return image

    def _decoded(self, text: str) -> RequestImage:
        image = RequestImage(text, self.read)
        image.decode_media()
        return image


def png_base64(pixels: NDArray[np.uint8]) -> str:
    """Returns a picture, (H, W) of grey or (H, W, 3), as a client sends it: the bytes of a PNG file in base64."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def decoded(
    requests: Sequence[Any], schema: Mapping[str, pl.DataType], shape: tuple[int, ...]
) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    """Returns the columns of requests and the pixels of their pictures.

    Args:
        requests: N of them, each with an ``image`` (:class:`RequestImage`).
        schema: Field of the request to the column's type.
        shape: Of one picture.

    Returns:
        N rows, and pixels of shape (N, *shape).
    """
    rows = {name: [getattr(request, name) for request in requests] for name in schema}
    pixels = np.array([request.image.pixels for request in requests], np.uint8)
    return pl.DataFrame(rows, schema=dict(schema)), pixels.reshape(len(requests), *shape)
