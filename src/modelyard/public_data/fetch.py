"""Fetches public data sets: from the cache, else the user's mirror, else the publisher; always verified.

A file appears under its name only once its sha256 matches the catalogue's. A killed fetch is resumed.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from modelyard.errors import StorageError
from modelyard.files import writing
from modelyard.public_data.cache import Cache
from modelyard.public_data.catalogue import PublicDataset, find_dataset

logger = logging.getLogger(__name__)


def fetch(name: str, *, quiet: bool = False, catalogue: Mapping[str, PublicDataset] | None = None) -> Path:
    """Fetches a data set's files if necessary, and verifies them.

    Args:
        name: As in the catalogue.
        quiet: No progress bar (there is none either if standard output is not a terminal).
        catalogue: Another catalogue than the repository's.

    Returns:
        ``data/01_raw/<name>``, with exactly the catalogue's files below it, each under its ``path``.

    Raises:
        ConfigurationError: The catalogue has no such data set, or the configured mirror is neither a folder nor a URL.
        FetchError: A file could not be fetched, or its bytes are not the published ones.
        StorageError: The disk is full or read-only, or the folder holds files that are not the data set's.
    """
    cache = Cache.of(find_dataset(name, catalogue))
    if not cache.is_verified():
        with _storage_errors(cache.folder):
            _complete(cache, quiet=quiet)
    return cache.folder


def verify(name: str, *, catalogue: Mapping[str, PublicDataset] | None = None) -> dict[str, str]:
    """Reads every byte of a fetched data set and compares it with the published digests.

    Args:
        name: As in the catalogue.
        catalogue: Another catalogue than the repository's.

    Returns:
        Path to problem; empty if the folder holds exactly the published files.

    Raises:
        ConfigurationError: The catalogue has no such data set.
        StorageError: A file cannot be read.
    """
    cache = Cache.of(find_dataset(name, catalogue))
    with _storage_errors(cache.folder):
        problems = cache.problems() | dict.fromkeys(cache.foreign_files(), "not part of the data set")
        if problems:
            cache.forget()
        else:
            cache.remember()
    return problems


def _complete(cache: Cache, *, quiet: bool) -> None:
    """Fetches missing or wrong files; of several processes one does so while the others wait."""
    _refuse_foreign_files(cache)
    if cache.folder.is_dir() and not cache.problems():  # needs no lock, so it works on a read-only disk
        cache.remember()
        return
    with _lock(cache):
        if cache.is_verified():
            return
        problems = cache.problems()
        for path, problem in problems.items():
            if problem != "missing":
                logger.warning("%s: %s: %s; fetching it anew", cache.dataset.name, path, problem)
        if problems:
            from modelyard.public_data.download_files import download_files

            download_files(cache, [file for file in cache.dataset.all_files() if file.path in problems], quiet=quiet)
        cache.remember()


def _refuse_foreign_files(cache: Cache) -> None:
    foreign = cache.foreign_files()
    if foreign:
        raise StorageError(
            f"The folder of a public data set holds files that are not part of it: {', '.join(foreign[:5])}.",
            where=str(cache.folder),
            way_out=f"move them elsewhere, then run `kedro data fetch {cache.dataset.name}`",
        )


@contextmanager
def _lock(cache: Cache) -> Iterator[None]:
    from filelock import FileLock, Timeout

    path = cache.notes / "lock"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("%s: another process is fetching it; waiting for it", cache.dataset.name)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    """Turns other errors of the operating system (a file in a folder's place, a broken disk) into a StorageError."""
    try:
        with writing(folder):
            yield
    except OSError as error:
        raise StorageError(
            f"The data folder cannot be used: {error.strerror or error}.",
            where=str(error.filename or folder),
            way_out="repair it, or point MODELYARD_DATA_DIR at another folder",
        ) from error
