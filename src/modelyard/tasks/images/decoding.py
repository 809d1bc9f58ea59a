"""How does a PNG or JPEG file become pixels, and what can be wrong with it? For own files and for requests."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg")
"""Of files that can be read, in lower case."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH_AT = 24

_GREY_TOLERANCE = 3
"""Levels of 255 by which the colours of a pixel may differ in a picture that still is grey (JPEG rounds)."""


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """What a project's pictures look like.

    Args:
        side: Pixels on each side.
        channels: 1 for grey: colour is refused. 3 for red, green, blue: grey becomes three equal channels.
        crop: ``central`` cuts other sizes to their central square and resizes it; ``none`` refuses them, where
            resizing would change how large a thing is.
        min_side: Pixels that each side has at least; a smaller central square is padded by repeating its edge. None:
            ``side``, smaller ones are refused.
        max_bytes: Of a file; larger ones are refused unread.
        max_pixels: That a file's header may declare; a file that declares far more than a camera has is a bomb.
    """

    side: int
    channels: Literal[1, 3]
    crop: Literal["central", "none"] = "central"
    min_side: int | None = None
    max_bytes: int = 50_000_000
    max_pixels: int = 64_000_000

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one picture: (H, W) of grey, (H, W, 3) of colour."""
        return (self.side, self.side) if self.channels == 1 else (self.side, self.side, self.channels)

    @property
    def blank(self) -> NDArray[np.uint8]:
        """A black picture, in the place of one that cannot be read."""
        return np.zeros(self.shape, np.uint8)


def read_image(content: bytes, image_format: ImageFormat) -> NDArray[np.uint8]:
    """Returns the pixels of a PNG or JPEG file as a viewer would show them, turned as its EXIF tag says.

    Palettes are looked up, CMYK becomes RGB, and an alpha channel is dropped where all of the picture is opaque.

    Args:
        content: The file's bytes.
        image_format: What it has to look like.

    Returns:
        Values 0 to 255, rows from the top: shape (side, side) of grey, (side, side, 3) of colour.

    Raises:
        ValueError: The bytes are no such image, are damaged, or cannot become one of this format without a guess.
    """
    from PIL import Image

    picture = _opened(content, image_format)
    picture = _grey(picture) if image_format.channels == 1 else _opaque(picture).convert("RGB")
    side = image_format.side
    if picture.size != (side, side):
        # As MedMNIST and torchvision do it: the central square with the short edge's length, cubic interpolation.
        edge = min(picture.size)
        left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
        square = picture.crop((left, top, left + edge, top + edge))
        if edge < side:
            return _padded(np.array(square, dtype=np.uint8), side)
        picture = square.resize((side, side), Image.Resampling.BICUBIC)
    return np.array(picture, dtype=np.uint8)


def read_grey_and_alpha(content: bytes, image_format: ImageFormat) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns the grey values and the opacity of a PNG or JPEG file of any size, for ink on paper or on nothing.

    Args:
        content: The file's bytes.
        image_format: Its limits of size; nothing is cut, and colours become their luma.

    Returns:
        Two arrays of shape (H, W), 0 to 255; the opacity is 255 everywhere in a file without an alpha channel.

    Raises:
        ValueError: The bytes are no such image, are damaged, or too small or too large.
    """
    picture = _opened(content, image_format).convert("RGBA")
    return np.array(picture.convert("L"), np.uint8), np.array(picture.getchannel("A"), np.uint8)


def _padded(square: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    before = (side - len(square)) // 2
    along = (before, side - len(square) - before)
    return np.pad(square, (along, along, *((0, 0) for _ in square.shape[2:])), mode="edge")


def declared_pixels(content: bytes) -> int:
    """Returns how many pixels the header of a PNG or JPEG file declares; nothing is decoded.

    Raises:
        ValueError: The bytes are no such image, or its header is damaged.
    """
    with _readable_errors():
        width, height = _with_header(content).size
    return int(width * height)


def _opened(content: bytes, image_format: ImageFormat) -> Image:
    """Returns the decoded picture, upright, after a look at what its header says."""
    from PIL import ImageOps

    if len(content) > image_format.max_bytes:
        raise ValueError(f"the file has {len(content):,} bytes, more than {image_format.max_bytes:,}")
    with _readable_errors():
        picture = _with_header(content)
        _check_header(picture, content, image_format)
        picture.load()
        return ImageOps.exif_transpose(picture)


def _with_header(content: bytes) -> Image:
    """Returns the picture with its header read and no pixel decoded."""
    from PIL import Image

    return Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """Turns Pillow's errors into a ``ValueError`` that says what is wrong with the file."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError as error:
        raise ValueError("the bytes are neither a PNG nor a JPEG image") from error
    except ValueError:
        raise
    except Exception as error:  # Pillow lets through whatever its parsers meet: struct.error, IndexError, SyntaxError
        raise ValueError(f"the image is damaged: {(str(error) or type(error).__name__).splitlines()[0]}") from error


def _check_header(picture: Image, content: bytes, image_format: ImageFormat) -> None:
    # Pillow reads 16 bits in three channels as 8 without a word, so the header is asked.
    is_deep_png = content.startswith(_PNG_SIGNATURE) and content[_PNG_DEPTH_AT] == 16
    if is_deep_png or picture.mode.startswith(("I", "F")):
        raise ValueError("the image has 16 bits per value, not 8; bring its values to 0 to 255 first")
    side, (width, height) = image_format.side, picture.size
    if image_format.crop == "none" and picture.size != (side, side):
        raise ValueError(
            f"the image has {width} x {height} pixels, not {side} x {side}; cut it at the training data's resolution"
        )
    smallest = image_format.min_side or side
    if min(picture.size) < smallest or width * height > image_format.max_pixels:
        raise ValueError(
            f"the image has {width} x {height} pixels; at least {smallest} on each side are needed, and at most"
            f" {image_format.max_pixels:,} in all"
        )


def _opaque(picture: Image) -> Image:
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        if np.asarray(picture.getchannel("A")).min() < 255:
            raise ValueError("the image is partly transparent; put it on a background first")
    return picture


def _grey(picture: Image) -> Image:
    """Returns one channel of a picture that is grey, whichever way it was saved."""
    from PIL import Image

    if picture.mode in ("1", "L") and "transparency" not in picture.info:
        return picture.convert("L")
    colours: NDArray[np.uint8] = np.asarray(_opaque(picture).convert("RGB"))
    if int((colours.max(axis=2) - colours.min(axis=2)).max()) > _GREY_TOLERANCE:
        raise ValueError("the image is in colour, not grey; convert it to grey first")
    return Image.fromarray(colours[:, :, 1].copy())
