"""A picture in a request is text in JSON and pixels in Python, and is decoded once."""

import base64
import io
from typing import Annotated

import numpy as np
import polars as pl
import pytest
from PIL import Image
from pydantic import BaseModel, ValidationError

from modelyard.tasks.images.request_image import Base64Image, RequestImage, decoded, pixel_budget

seen: list[bytes] = []


def read(content: bytes) -> np.ndarray:
    seen.append(content)
    if len(content) != 4:
        raise ValueError("the image has not four pixels")
    return np.frombuffer(content, np.uint8)


class Request(BaseModel):
    image: Annotated[RequestImage, Base64Image(read, max_length=2_000)]
    place: str = "here"


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_it_is_decoded_once_however_often_it_is_used():
    seen.clear()
    request = Request.model_validate({"image": text(b"abcd")})
    assert [request.image.pixels.tolist() for _ in range(3)] == [list(b"abcd")] * 3
    assert request.model_dump_json() == f'{{"image":"{text(b"abcd")}","place":"here"}}'
    assert Request.model_validate(request.model_dump()) == request
    assert Request(image=request.image).image is request.image
    assert seen == [b"abcd"] * 2  # once for each validated text


def test_requests_become_columns_and_pixels():
    requests = [Request(image=text(b"abcd"), place="Rome"), Request(image=text(b"efgh"))]
    rows, pixels = decoded(requests, {"place": pl.String}, (2, 2))
    assert rows.rows() == [("Rome",), ("here",)]
    assert pixels.tolist() == [[[97, 98], [99, 100]], [[101, 102], [103, 104]]]
    rows, pixels = decoded([], {"place": pl.String}, (2, 2))
    assert (rows.schema, pixels.shape) == ({"place": pl.String}, (0, 2, 2))


def test_an_example_is_written_down_without_being_decoded():
    seen.clear()
    example = Request.model_construct(image=RequestImage(text(b"abcd"), read))
    assert example.model_dump(mode="json") == {"image": text(b"abcd"), "place": "here"}
    assert seen == []


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height), 7).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_in_json_its_header_is_read_and_nothing_is_decoded(kind):
    seen.clear()
    request = Request.model_validate_json(f'{{"image": "{text(picture(30, 20, kind))}"}}')
    assert request.image.n_pixels == 600
    assert pixel_budget(10_000).of(request) == 600
    assert seen == []
    with pytest.raises(ValueError, match="not four pixels"):
        request.image.decode_media()


def test_what_has_no_header_is_refused_in_json_too():
    for image, problem in ((text(b"abcd"), "neither a PNG nor a JPEG"), ("not base64!", "no base64")):
        with pytest.raises(ValidationError, match=problem):
            Request.model_validate_json(f'{{"image": "{image}"}}')


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("not base64!", "no base64"),
        ("data:image/png;base64,AAAA", "no base64"),
        (text(b"abcde"), "not four pixels"),
        (text(b"a" * 2_000), "at most 2000 characters"),
        (7, "valid string"),
    ],
)
def test_what_is_wrong_is_said(image, problem):
    with pytest.raises(ValidationError, match=problem):
        Request.model_validate({"image": image})


def test_its_schema_is_base64_text():
    assert Request.model_json_schema()["properties"]["image"] == {
        "type": "string",
        "contentEncoding": "base64",
        "maxLength": 2_000,
        "title": "Image",
    }
