"""How are the IDX files of MNIST and its kind read? Blocks of bytes behind a head with their shape.

LeCun, http://yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard.errors import DataContractError

_UNSIGNED_BYTES = b"\0\0\x08"


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Returns the numbers of an IDX file of unsigned bytes, gzipped or not, in the shape that its head announces.

    Raises:
        DataContractError: It is no such file, or has more or fewer numbers than its head announces.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise _wrong(path, f"its compression is damaged ({error})") from error
    n_axes = content[3] if len(content) > 4 and content[:3] == _UNSIGNED_BYTES else 0
    if not n_axes or len(content) < 4 + 4 * n_axes:
        raise _wrong(path, "it does not begin as an IDX file of unsigned bytes does")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", n_axes, offset=4))
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes)
    if values.size != math.prod(shape):
        raise _wrong(path, f"its head announces {math.prod(shape):,} numbers, and {values.size:,} follow")
    return values.reshape(shape)


def _wrong(path: Path, found: str) -> DataContractError:
    return DataContractError(
        f"The IDX file cannot be read: {found}.", where=str(path), way_out="fetch it anew, or write it as MNIST's are"
    )
