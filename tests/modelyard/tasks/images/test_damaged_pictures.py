"""Whatever lies in a user's folder of pictures, it ends in rows (some with their reason) or in one error."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import ModelyardError
from modelyard.tasks.images.decoding import ENDINGS, ImageFormat, read_image
from modelyard.tasks.own_media import read_own_media
from tests.mutations import assert_every_mutation_is_answered, with_checksums

GREY = ImageFormat(side=12, channels=1)
COLOUR = ImageFormat(side=12, channels=3)
PIXELS = np.arange(14 * 12 * 3, dtype=np.uint8).reshape(14, 12, 3)


def own(path, image_format):
    rows, pictures = read_own_media(
        path,
        lambda content: read_image(content, image_format),
        media="image",
        blank=image_format.blank,
        endings=ENDINGS,
        key="exam_id",
        target="is_ill",
        classes={"normal": False, "ill": True},
        group="patient_id",
    )
    assert rows.height == len(pictures)
    assert all(picture.shape == image_format.shape and picture.dtype == np.uint8 for picture in pictures)
    is_unread = rows["parse_errors"].str.starts_with("image: ").fill_null(False)
    assert not any(picture.any() for picture, unread in zip(pictures, is_unread, strict=True) if unread)


def saved(kind, picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures(kind):
    colour, exif = Image.fromarray(PIXELS), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a note"  # turned by 90 degrees
    grey = Image.fromarray(PIXELS[:, :, 0])
    made = [saved(kind, grey), saved(kind, colour), saved(kind, colour, exif=exif)]
    if kind == "PNG":
        opaque = {"transparency": bytes([255] * 256)}
        return [*made, saved(kind, colour.convert("RGBA")), saved(kind, colour.convert("P"), **opaque)]
    return [*made, saved(kind, colour.convert("CMYK")), saved(kind, colour, progressive=True, subsampling=2)]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_mutation_of_a_picture_is_answered(tmp_path, kind):
    (tmp_path / "normal").mkdir()
    path = tmp_path / "normal" / f"1.{kind.lower()}"

    def read(path):
        with contextlib.suppress(ModelyardError):
            own(tmp_path, GREY)
        own(tmp_path, COLOUR)

    words = [b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"zTXt", b"Exif\0\0"]
    words += [b"\xff\xd8", b"\xff\xda", b"\xff\xc0"]
    assert_every_mutation_is_answered(read, path, pictures(kind), words=words, mend=with_checksums, at_most=200)


def test_every_mutation_of_a_table_of_labels_is_answered(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(saved("PNG", Image.fromarray(PIXELS)))
    lines = "file,label,patient_id,event_time,split\na.png,normal,p1,2024-01-02,train\nb.png,ill,p2,,test\n"
    words = [
        b"\n",
        b",",
        b'"',
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"..",
        b"/",
        b"a.png",
        b"ill",
        b"0001-01-01T00:00+14:00",
    ]
    files = [lines.encode(), lines.replace(",2024-01-02,train", ",,").encode()]
    assert_every_mutation_is_answered(lambda path: own(path, COLOUR), tmp_path / "labels.csv", files, words=words)
