"""Files that anybody may send: what they hold is read as a viewer shows it, or it is said why not."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from modelyard.tasks.images.decoding import ImageFormat, read_image

GREY, COLOUR = ImageFormat(side=28, channels=1), ImageFormat(side=28, channels=3, crop="none")
RAMP = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)
RANDOM = np.random.default_rng(0).integers(0, 255, (28, 28, 3), dtype=np.uint8)


def saved(array, mode=None, kind="PNG", **more) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(array)
    (picture if mode is None else picture.convert(mode)).save(buffer, kind, **more)
    return buffer.getvalue()


def with_alpha(array, alpha) -> bytes:
    picture = Image.fromarray(array).convert("RGBA")
    picture.putalpha(Image.fromarray(np.full((28, 28), alpha, np.uint8)))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [saved(RAMP), saved(RAMP, "RGB"), saved(RAMP, "LA"), saved(RAMP, "P"), with_alpha(RAMP, 255)],
)
def test_grey_is_grey_however_it_was_saved(content):
    assert np.array_equal(read_image(content, GREY), RAMP)


def test_grey_that_jpeg_rounded_is_grey():
    read = read_image(saved(RAMP, "RGB", "JPEG", quality=95), GREY)
    assert np.abs(read.astype(int) - RAMP).mean() < 6


@pytest.mark.parametrize(
    "content", [saved(RANDOM), with_alpha(RANDOM, 255), saved(RANDOM, "P"), saved(RANDOM, "CMYK", "JPEG", quality=95)]
)
def test_colour_is_colour_however_it_was_saved(content):
    read = read_image(content, COLOUR)
    assert read.shape == (28, 28, 3)
    assert np.corrcoef(read.ravel(), RANDOM.ravel())[0, 1] > 0.75


def test_grey_becomes_three_equal_channels_of_a_colour_format():
    assert np.array_equal(read_image(saved(RAMP), COLOUR), np.stack([RAMP] * 3, axis=2))


def test_a_picture_is_turned_as_its_exif_tag_says():
    turned = saved(
        np.rot90(RANDOM),
        exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00",
    )
    assert np.array_equal(read_image(turned, COLOUR), RANDOM)


def test_a_large_picture_is_cut_to_its_central_square_and_shrunk():
    wide = np.zeros((56, 112), np.uint8)
    wide[:, 28:84] = 200
    read = read_image(saved(wide), GREY)
    assert read.shape == (28, 28)
    assert (np.abs(read.astype(int) - 200) < 3).all()


def with_a_text_that_claims_to_be_a_number() -> bytes:
    """A turned JPEG, in whose EXIF tags Pillow finds a text where the standard has a number."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a note"
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue().replace(b"\x01\x0e\x00\x02", b"\x01\x06\x00\x02")


@pytest.mark.parametrize(
    ("content", "image_format", "problem"),
    [
        (b"", GREY, "neither a PNG nor a JPEG"),
        (b"no image at all", GREY, "neither a PNG nor a JPEG"),
        (saved(np.zeros((40, 40), np.uint16) + 999), GREY, "16 bits"),
        (saved(RANDOM), GREY, "in colour"),
        (saved(RAMP[:20]), GREY, "28 x 20 pixels; at least 28"),
        (saved(RANDOM[:20]), COLOUR, "28 x 20 pixels, not 28 x 28"),
        (with_alpha(RANDOM, 100), COLOUR, "transparent"),
        (saved(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))[:900], GREY, "damaged"),
        (saved(RAMP)[:-12] + bytes(4) + b"iCCP" + zlib.crc32(b"iCCP").to_bytes(4, "big"), GREY, "damaged: index out"),
        (with_a_text_that_claims_to_be_a_number(), GREY, "damaged: required argument"),
        (saved(np.zeros((200, 200), np.uint8)), ImageFormat(side=28, channels=1, max_pixels=10_000), "at most 10,000"),
        (saved(RAMP), ImageFormat(side=28, channels=1, max_bytes=20), "bytes, more than 20"),
    ],
)
def test_what_is_wrong_with_a_picture_is_said(content, image_format, problem):
    with pytest.raises(ValueError, match=problem):
        read_image(content, image_format)


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    content = saved(np.zeros((400, 400), np.uint8))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(ValueError, match="400 x 400"):
        read_image(content, ImageFormat(side=28, channels=1, max_pixels=100_000))


def test_a_blank_has_the_shape_of_the_format():
    assert (GREY.blank.shape, COLOUR.blank.shape) == ((28, 28), (28, 28, 3))


def test_a_small_picture_is_padded_by_its_edge_where_the_format_allows_it():
    small = ImageFormat(side=28, channels=1, min_side=16)
    read = read_image(saved(RAMP[:20]), small)
    assert read.shape == (28, 28)
    assert np.array_equal(read[4:24, 4:24], RAMP[:20, 4:24])
    assert (read[:4] == read[4]).all()
    assert (read[:, 24:] == read[:, 23:24]).all()
    with pytest.raises(ValueError, match="at least 16"):
        read_image(saved(RAMP[:10]), small)
