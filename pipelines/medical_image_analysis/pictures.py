"""How does a file become pixels, and what can be wrong with it? The same code reads own files and requests."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SIDE = 28
"""Pixels on each side of a picture, as in PneumoniaMNIST."""

_LARGEST_PIXELS = 64_000_000
"""A flat-panel detector has at most 18 million pixels; a file that declares far more is a bomb or a mistake."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH_AT = 24


def read_picture(content: bytes) -> NDArray[np.uint8]:
    """Grey pixels of a PNG or JPEG file, cut to its central square and shrunk, as PneumoniaMNIST was made.

    Args:
        content: The file's bytes.

    Returns:
        Grey values 0 to 255, shape (28, 28), rows from the top.

    Raises:
        ValueError: The bytes are no image, are damaged, have other channels than one of 8 bits, or too few pixels.
    """
    import numpy as np
    from PIL import ImageOps
    from PIL.Image import Resampling

    picture = ImageOps.exif_transpose(_opened(content))
    if picture.size != (SIDE, SIDE):
        # https://github.com/MedMNIST/MedMNIST: centre-cropped with the short edge's length, cubic interpolation.
        edge = min(picture.size)
        left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
        picture = picture.crop((left, top, left + edge, top + edge)).resize((SIDE, SIDE), Resampling.BICUBIC)
    pixels: NDArray[np.uint8] = np.asarray(picture, dtype=np.uint8)
    return pixels


def _opened(content: bytes) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        _check(picture, content)
        picture.load()
    except UnidentifiedImageError as error:
        raise ValueError("the bytes are neither a PNG nor a JPEG image") from error
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"the image is damaged: {str(error).splitlines()[0]}") from error
    return picture


def _check(picture: Image, content: bytes) -> None:
    """What the header says, before anything is unpacked."""
    is_deep_png = content.startswith(_PNG_SIGNATURE) and content[_PNG_DEPTH_AT] == 16
    if is_deep_png or picture.mode.startswith(("I", "F")):
        raise ValueError("the image has 16 bits per value, not 8; bring its grey values to 0 to 255 first")
    if picture.mode != "L":
        channels = ", ".join(picture.getbands())
        raise ValueError(f"the image has the channels {channels}, not one of grey; convert it to grey first")
    if min(picture.size) < SIDE or picture.width * picture.height > _LARGEST_PIXELS:
        raise ValueError(
            f"the image has {picture.width} x {picture.height} pixels; at least {SIDE} on each side are needed, and at"
            f" most {_LARGEST_PIXELS // 1_000_000} million in all"
        )
