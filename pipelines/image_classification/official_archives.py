"""How do the whole public sets become pictures? Their official archives are no folders of files, but blocks of bytes.

CIFAR-10's binary version: https://www.cs.toronto.edu/~kriz/cifar.html. Fashion-MNIST's IDX files, in MNIST's format:
https://github.com/zalandoresearch/fashion-mnist.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelyard.errors import DataContractError
from modelyard.tasks.images.idx import read_idx

Pixels = NDArray[np.uint8]

CIFAR_ARCHIVE = "cifar-10-binary.tar.gz"
_SIDE, _PADDING = 32, ((0, 0), (2, 2), (2, 2))
_CIFAR_BYTES = 1 + 3 * _SIDE * _SIDE
_FASHION_FILES = {"train": "train", "test": "t10k"}


class Official(NamedTuple):
    """A whole set.

    Args:
        splits: ``train`` or ``test``, shape (N,).
        labels: Numbers of the classes, shape (N,).
        pictures: uint8 of shape (N, 32, 32, 3).
    """

    splits: NDArray[np.str_]
    labels: NDArray[np.uint8]
    pictures: Pixels


def read_cifar10(folder: Path) -> Official:
    """Returns what :data:`CIFAR_ARCHIVE` holds, in its order.

    Raises:
        DataContractError: The archive holds no batches, or one that does not consist of whole pictures.
    """
    path = folder / CIFAR_ARCHIVE
    parts: list[tuple[str, NDArray[np.uint8]]] = []
    with tarfile.open(path, "r:gz") as archive:
        batches = [member for member in archive.getmembers() if member.name.endswith(".bin")]
        for member in sorted(batches, key=lambda one: one.name):
            content = archive.extractfile(member)
            values = np.frombuffer(content.read() if content else b"", np.uint8)
            if values.size % _CIFAR_BYTES:
                raise _wrong(path, f"'{member.name}' has {values.size:,} bytes, no multiple of {_CIFAR_BYTES:,}")
            split = "test" if "test" in member.name else "train"
            parts.append((split, values.reshape(-1, _CIFAR_BYTES)))
    if {split for split, _ in parts} != {"train", "test"}:
        raise _wrong(path, "it holds no training or no test batch")
    rows = np.concatenate([values for _, values in parts])
    splits = np.concatenate([np.full(len(values), split) for split, values in parts])
    planes = rows[:, 1:].reshape(-1, 3, _SIDE, _SIDE)
    return Official(splits, rows[:, 0].copy(), np.ascontiguousarray(planes.transpose(0, 2, 3, 1)))


def read_fashion_mnist(folder: Path) -> Official:
    """Returns what the four IDX files hold, in their order, grey in three channels and padded by the edge.

    Raises:
        DataContractError: A file is not in this format, or pictures and labels are not equally many.
    """
    splits, labels, pictures = [], [], []
    for split, name in _FASHION_FILES.items():
        seen, told = (read_idx(folder / f"{name}-{what}-ubyte.gz") for what in ("images-idx3", "labels-idx1"))
        if len(seen) != len(told) or seen.shape[1:] != (28, 28):
            raise _wrong(folder, f"'{split}' has pictures {seen.shape} and {len(told):,} labels")
        splits.append(np.full(len(told), split))
        labels.append(told)
        pictures.append(np.repeat(np.pad(seen, _PADDING, mode="edge")[..., None], 3, axis=3))
    return Official(np.concatenate(splits), np.concatenate(labels), np.concatenate(pictures))


def _wrong(path: Path, found: str) -> DataContractError:
    return DataContractError(
        f"The official archive cannot be read: {found}.",
        where=str(path),
        way_out=f"kedro data verify {path.parent.name}",
    )
