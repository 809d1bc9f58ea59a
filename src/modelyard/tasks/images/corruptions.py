"""What weather, lenses and files do to pictures: eight corruptions of five severities each.

After Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common corruptions",
https://arxiv.org/abs/1903.12261: noise, blur, contrast, brightness, JPEG and pixelation as in its CIFAR-10-C; occlusion
and tilt beside them. Lengths are in shares of a picture's side or for sides of about 32 pixels.

Pictures are uint8 of shape (N, H, W), grey, or (N, H, W, 3).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]

STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "jpeg": (80, 65, 58, 50, 40),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "occlusion": (0.15, 0.25, 0.35, 0.45, 0.55),
    "tilt": (5, 10, 15, 20, 30),
}
"""Kind to what each severity means: deviation of the noise and lift of the light in shares of white, deviation of the
blur in 32nds of the side, share of the contrast that stays, quality of the file, share of the pixels of a side that
stay, side of the occluded square in shares of the picture's, degrees."""

KINDS = tuple(STRENGTHS)
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(pictures: Pixels, kind: str, severity: int, seed: int = 0) -> Pixels:
    """Returns corrupted copies; the same arguments give the same pixels.

    Args:
        pictures: N of them.
        kind: One of :data:`KINDS`.
        severity: 1 (hardly seen) to 5.
        seed: Of noise, place of the occlusion and side to which pictures are tilted.

    Raises:
        KeyError: There is no such kind.
    """
    strength = STRENGTHS[kind][severity - 1]
    rng = np.random.default_rng([seed, KINDS.index(kind), severity])
    if kind in ("noise", "contrast", "brightness"):
        return _exposed(pictures, kind, strength, rng)
    if kind == "occlusion":
        return _occluded(pictures, strength, rng)
    return np.stack([_redrawn(picture, kind, strength, rng) for picture in pictures]) if len(pictures) else pictures


class Corrupted(NamedTuple):
    """Pictures that were corrupted once each.

    Args:
        pictures: N of them.
        kind: One of :data:`KINDS` for each, shape (N,).
        severity: 1 to 5, shape (N,).
    """

    pictures: Pixels
    kind: NDArray[np.str_]
    severity: NDArray[np.int64]


def corrupt_once(pictures: Pixels) -> Corrupted:
    """Returns each picture corrupted once, in a way that follows from its own pixels alone.

    Over many pictures the forty ways are equally frequent: accuracy on the answer estimates the mean over all of them
    for one more look at each picture instead of forty.
    """
    digests = np.array([zlib.crc32(picture.tobytes()) for picture in pictures], np.int64)
    kind, severity = np.array(KINDS)[digests % len(KINDS)], 1 + digests // len(KINDS) % len(SEVERITIES)
    made = [
        corrupt(picture[None], str(one), int(degree), int(digest))[0]
        for picture, one, degree, digest in zip(pictures, kind, severity, digests, strict=True)
    ]
    return Corrupted(np.stack(made) if made else pictures, kind, severity)


def _exposed(pictures: Pixels, kind: str, strength: float, rng: np.random.Generator) -> Pixels:
    values = pictures.astype(np.float32)
    if kind == "noise":
        values += 255 * strength * rng.standard_normal(values.shape, np.float32)
    elif kind == "brightness":
        values += 255 * strength
    else:
        middle = values.mean(axis=tuple(range(1, values.ndim)), keepdims=True)
        values = middle + strength * (values - middle)
    exposed: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return exposed


def _occluded(pictures: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    covered = pictures.copy()
    height, width = pictures.shape[1:3]
    sides = round(share * height), round(share * width)
    tops, lefts = (
        rng.integers(0, height - sides[0] + 1, len(pictures)),
        rng.integers(0, width - sides[1] + 1, len(pictures)),
    )
    for picture, top, left in zip(covered, tops, lefts, strict=True):
        picture[top : top + sides[0], left : left + sides[1]] = 127
    return covered


def _redrawn(picture: Pixels, kind: str, strength: float, rng: np.random.Generator) -> Pixels:
    from PIL import Image, ImageFilter

    image = Image.fromarray(picture)
    width, height = image.size
    if kind == "blur":
        image = image.filter(ImageFilter.GaussianBlur(strength * min(image.size) / 32))
    elif kind == "jpeg":
        image = _compressed(image, int(strength))
    elif kind == "pixelate":
        few = max(1, round(strength * width)), max(1, round(strength * height))
        image = image.resize(few, Image.Resampling.BOX).resize((width, height), Image.Resampling.NEAREST)
    else:
        degrees = strength * (1 if rng.random() < 0.5 else -1)
        # Beyond the edge lies the picture's mean colour, as a black wedge would be a mark of its own.
        mean = tuple(int(value) for value in picture.reshape(width * height, -1).mean(axis=0))
        image = image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=mean if len(mean) > 1 else mean[0])
    return np.array(image, np.uint8)


def _compressed(image: Image, quality: int) -> Image:
    import PIL.Image

    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return PIL.Image.open(buffer)
