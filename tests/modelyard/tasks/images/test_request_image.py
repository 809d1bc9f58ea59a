"""A picture in a request is text in JSON and pixels in Python, and is decoded once."""

import base64
from typing import Annotated

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from modelyard.tasks.images.request_image import Base64Image, RequestImage

decoded: list[bytes] = []


def read(content: bytes) -> np.ndarray:
    decoded.append(content)
    if len(content) != 4:
        raise ValueError("the image has not four pixels")
    return np.frombuffer(content, np.uint8)


class Request(BaseModel):
    image: Annotated[RequestImage, Base64Image(read, max_length=40)]


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_it_is_decoded_once_however_often_it_is_used():
    decoded.clear()
    request = Request.model_validate_json(f'{{"image": "{text(b"abcd")}"}}')
    assert [request.image.pixels.tolist() for _ in range(3)] == [list(b"abcd")] * 3
    assert request.model_dump_json() == f'{{"image":"{text(b"abcd")}"}}'
    assert Request.model_validate(request.model_dump()) == request
    assert Request(image=request.image).image is request.image
    assert decoded == [b"abcd"] * 2  # once for each validated text


def test_an_example_is_written_down_without_being_decoded():
    decoded.clear()
    example = Request.model_construct(image=RequestImage(text(b"abcd"), read))
    assert example.model_dump(mode="json") == {"image": text(b"abcd")}
    assert decoded == []


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
