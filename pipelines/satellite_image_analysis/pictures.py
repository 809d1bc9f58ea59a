"""How does a file become a tile, and what can be wrong with it? The same code reads own files and requests."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SIDE, CHANNELS = 128, 3
"""Pixels on each side of a tile, and its colours red, green, blue; as in the Hurricane Harvey set."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH_AT = 24


def read_tile(content: bytes) -> NDArray[np.uint8]:
    """Pixels of a PNG or JPEG file. Nothing is resized: that would change how large a house is.

    Args:
        content: The file's bytes.

    Returns:
        Red, green, blue of 0 to 255, shape (128, 128, 3), rows from the north.

    Raises:
        ValueError: The bytes are no image, are damaged, have other channels than three of 8 bits, or another size.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        _check(picture, content)
        pixels: NDArray[np.uint8] = np.asarray(picture, dtype=np.uint8)
    except UnidentifiedImageError as error:
        raise ValueError("the bytes are neither a PNG nor a JPEG image") from error
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"the image is damaged: {str(error).splitlines()[0]}") from error
    return pixels


def _check(picture: Image, content: bytes) -> None:
    """What the header says, before anything is unpacked."""
    # Pillow reads 16 bits in three channels as 8 without a word, so the header is asked.
    is_deep_png = content.startswith(_PNG_SIGNATURE) and content[_PNG_DEPTH_AT] == 16
    if is_deep_png or picture.mode.startswith(("I", "F")):
        raise ValueError("the image has 16 bits per value, not 8; bring its values to 0 to 255 first")
    if picture.mode != "RGB":
        channels = ", ".join(picture.getbands())
        raise ValueError(f"the image has the channels {channels}, not R, G, B; convert it first")
    if picture.size != (SIDE, SIDE):
        raise ValueError(
            f"the image has {picture.width} x {picture.height} pixels, not {SIDE} x {SIDE}; cut a tile at the training"
            " data's ground resolution"
        )
