"""A picture in a request is text in JSON and pixels in Python, and is decoded once."""

import base64
from typing import Annotated

import numpy as np
import polars as pl
import pytest
from pydantic import BaseModel, ValidationError

from modelyard.tasks.images.request_image import Base64Image, RequestImage, decoded

seen: list[bytes] = []


def read(content: bytes) -> np.ndarray:
    seen.append(content)
    if len(content) != 4:
        raise ValueError("the image has not four pixels")
    return np.frombuffer(content, np.uint8)


class Request(BaseModel):
    image: Annotated[RequestImage, Base64Image(read, max_length=40)]
    place: str = "here"


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_it_is_decoded_once_however_often_it_is_used():
    seen.clear()
    request = Request.model_validate_json(f'{{"image": "{text(b"abcd")}"}}')
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


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("not base64!", "no base64"),
        ("data:image/png;base64,AAAA", "no base64"),
        (text(b"abcde"), "not four pixels"),
        (text(b"a" * 40), "at most 40 characters"),
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
        "maxLength": 40,
        "title": "Image",
    }
