"""Atomic writes: files and folders appear whole or not at all."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelyard.errors import ModelyardError, StorageError

_CHUNK_BYTES = 1 << 20
_FULL = "No space left on device"  # polars and shutil.copytree raise errors with this text and without an errno


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; when the block succeeds, the file takes its place in one step.

    The content is flushed to disk before the rename, so a crash leaves the old file or the new one, never half.

    Raises:
        StorageError: The folder is read-only or the disk is full; the old file, if any, is untouched.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder beside ``path``; when the block succeeds, it takes the place of ``path``.

    POSIX cannot replace a filled folder in one step: the old one is moved aside, the new one in, the old one
    deleted. A kill between the two moves leaves ``path`` absent, which every reader treats as "not made yet".

    Raises:
        StorageError: As for :func:`atomic_file`.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
        old = temporary.with_suffix(".old")
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 ``text`` to ``path``, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of_file(path: Path) -> str:
    """Returns the hex sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_directory(path: Path) -> str:
    """Returns the hex sha256 over the relative names and bytes of every file below ``path``, in sorted order."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of_file(file)}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the operating system's "no space" and "not allowed" into a :class:`StorageError` that names ``path``."""
    try:
        yield
    except ModelyardError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in (28, 122) or _FULL in str(error):  # ENOSPC, EDQUOT
            raise StorageError(
                "The disk is full; the unfinished file was removed and the previous one kept.",
                where=str(path),
                way_out="free space or point MODELYARD_DATA_DIR at a larger disk, then run the same command again",
            ) from error
        if number in (13, 30):  # EACCES, EROFS
            raise StorageError(
                "The folder cannot be written to.",
                where=str(path.parent),
                way_out="make it writable or point MODELYARD_DATA_DIR at a folder that is",
            ) from error
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_json(path: Path, data: Any) -> None:
    """Writes JSON with sorted keys, so that equal content is equal bytes; NaN and infinity are written as null.

    Raises:
        StorageError: The disk is full or the folder read-only.
    """
    write_text(path, json.dumps(_without_nan(data), indent=2, sort_keys=True, allow_nan=False) + "\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value
