"""Unpacks the members of a zip or tar that the catalogue lists, to the paths that the catalogue gives.

Thus a member called ``../../x`` cannot be written outside the folder, and a member whose declared size differs from the
catalogue's is not unpacked at all (both modules stop reading at the declared size).
"""

import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from lzma import LZMAError
from pathlib import Path
from typing import IO

from modelyard.errors import FetchError, StorageError
from modelyard.files import sha256_of_file, writing
from modelyard.public_data.catalogue import Archive, PublishedFile

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError)


def unpack(
    packed: Path, archive: Archive, wanted: Sequence[PublishedFile], part_of: Callable[[PublishedFile], Path]
) -> Iterator[PublishedFile]:
    """Unpacks members into their part files and yields each one once its bytes are the published ones.

    Args:
        packed: The archive's file; its bytes have been verified.
        archive: The catalogue's entry; the suffix of its path gives the format.
        wanted: Members to unpack.
        part_of: Returns the file to which a member is unpacked.

    Raises:
        FetchError: A wanted member is missing, is not the published one, or the archive is damaged.
        StorageError: The disk is full or the folder read-only.
    """
    names = {member.path: member for member in wanted}
    opened = _zip_members if archive.path.endswith(".zip") else _tar_members
    try:
        for name, size, source in opened(packed, names):
            member = names.pop(name)
            if size == member.bytes:
                _write(source, part_of(member))
            if size != member.bytes or sha256_of_file(part_of(member)) != member.sha256:
                part_of(member).unlink(missing_ok=True)
                raise FetchError(f"{name} in {archive.path}: these are not the published bytes.", where=str(packed))
            yield member
    except _DAMAGED as error:
        raise FetchError(f"{archive.path}: the archive is damaged ({error}).", where=str(packed)) from error
    if names:
        raise FetchError(f"{archive.path}: the archive has no member {', '.join(names)}.", where=str(packed))


def _zip_members(packed: Path, names: dict[str, PublishedFile]) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yields name, declared unpacked size and content of each regular member that is in ``names``."""
    with zipfile.ZipFile(packed) as opened:
        for name in sorted(set(opened.namelist()) & set(names)):
            with opened.open(name) as source:
                yield name, opened.getinfo(name).file_size, source


def _tar_members(packed: Path, names: dict[str, PublishedFile]) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yields the same as :func:`_zip_members`; links and devices are skipped."""
    with tarfile.open(packed, "r:*") as opened:
        for entry in opened:
            source = opened.extractfile(entry) if entry.isreg() and entry.name in names else None
            if source is not None:
                yield entry.name, entry.size, source


def _write(source: IO[bytes], part: Path) -> None:
    try:
        with writing(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as target:
                shutil.copyfileobj(source, target)
                target.flush()
                os.fsync(target.fileno())
    except StorageError:
        part.unlink(missing_ok=True)
        raise
