"""Downloads files of one data set in parallel, from the mirror if it has them, else from the publisher."""

import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import FetchError
from modelyard.files import writing
from modelyard.public_data.archives import unpack
from modelyard.public_data.cache import Cache
from modelyard.public_data.catalogue import Archive, PublishedBytes, PublishedFile
from modelyard.public_data.cut import write_cut
from modelyard.public_data.download import Transfer, UnreachableError, download, open_client
from modelyard.public_data.mirror import VARIABLE, Mirror, configured_mirror

if TYPE_CHECKING:
    from rich.progress import Progress

logger = logging.getLogger(__name__)

_CONNECTIONS = 8
"""Parallel connections: enough to hide the latency of many small files, few enough for a publisher's server."""


@dataclass(frozen=True)
class _Job:
    """One download, and the files it gives: ``files`` is the item itself or members of the archive.

    ``is_whole``: the source has the publisher's whole file, from which the item's rows are extracted.
    """

    source: Path | str
    item: PublishedFile | Archive
    files: tuple[PublishedFile, ...]
    is_whole: bool = False


def download_files(cache: Cache, wanted: Sequence[PublishedFile], *, quiet: bool) -> None:
    """Downloads ``wanted`` into the cache's folder.

    Args:
        cache: The data set's cache; the caller holds its lock.
        wanted: Files of the data set that are missing or wrong.
        quiet: No progress bar.

    Raises:
        ConfigurationError: The configured mirror is neither a folder nor an http(s) URL.
        FetchError: A file is available neither from the mirror nor from the publisher; the others are in place, and
            the next call fetches only what is missing.
        StorageError: The disk is full or the folder read-only.
    """
    mirror = configured_mirror()
    with _progress(quiet=quiet) as bar, open_client() as client:
        delivery = _Delivery(cache, Transfer(client, _advance(bar), threading.Event()), bar)
        refusals = delivery.run(f"mirror {mirror}", _mirror_jobs(cache, mirror, frozenset(wanted))) if mirror else []
        if refusals:
            reason = f"{refusals[0].found} ({refusals[0].where})"
            logger.warning("%s: not everything is in the mirror: %s", cache.dataset.name, reason)
        rest = [file for file in wanted if file not in delivery.placed]
        failures = delivery.run(cache.dataset.upstream.repository, _upstream_jobs(cache, rest)) if rest else []
    if failures:
        raise _failure(cache.dataset.name, failures, refusals)
    shutil.rmtree(cache.notes / "parts", ignore_errors=True)


def _mirror_jobs(cache: Cache, mirror: Mirror, wanted: Collection[PublishedFile]) -> list[_Job]:
    dataset = cache.dataset
    jobs = [_Job(mirror.source(dataset.name, file.path), file, (file,)) for file in dataset.files if file in wanted]
    for archive in dataset.archives:
        members = tuple(member for member in archive.members if member in wanted)
        if members:
            jobs.append(_Job(mirror.source(dataset.name, archive.path), archive, members))
    return jobs


def _upstream_jobs(cache: Cache, wanted: Sequence[PublishedFile]) -> list[_Job]:
    return [_Job(cache.dataset.upstream_url(file), file, (file,), bool(file.upstream_sha256)) for file in wanted]


def _failure(dataset: str, failures: list[FetchError], refusals: list[FetchError]) -> FetchError:
    others = f" {len(failures) - 1} more failed." if len(failures) > 1 else ""
    mirror = f" The mirror did not have it either: {refusals[0].found}" if refusals else ""
    return FetchError(
        failures[0].found + others + mirror,
        where=failures[0].where,
        way_out=f"check the network, or set {VARIABLE} to a folder or http(s) address that has the data sets; then "
        f"`kedro data fetch {dataset}` goes on from here",
    )


class _Delivery:
    def __init__(self, cache: Cache, transfer: Transfer, bar: "Progress | None") -> None:
        self.placed: set[PublishedFile] = set()
        self._cache, self._transfer, self._bar = cache, transfer, bar

    def run(self, place: str, jobs: Sequence[_Job]) -> list[FetchError]:
        """Runs the jobs and returns the errors of those that failed; an unreachable server ends all unfinished jobs."""
        megabytes = sum(job.item.bytes for job in jobs) / 1e6
        dataset = self._cache.dataset
        logger.info("%s: %.1f MB from %s (licence: %s)", dataset.name, megabytes, place, dataset.licence)
        if self._bar:
            self._bar.add_task(dataset.name, total=sum(job.item.bytes for job in jobs))
        failures = []
        pool = ThreadPoolExecutor(_CONNECTIONS)
        try:
            for done in as_completed([pool.submit(self._do, job) for job in jobs]):
                if failure := done.result():
                    failures.append(failure)
                if isinstance(failure, UnreachableError):
                    break
        finally:
            self._transfer.stop.set()
            pool.shutdown(cancel_futures=True)
        self._transfer.stop.clear()
        return failures

    def _do(self, job: _Job) -> FetchError | None:
        try:
            if isinstance(job.item, Archive):
                self._bring_members(job.source, job.item, job.files)
            elif job.is_whole:
                self._bring_cut(job.source, job.item)
            else:
                download(job.source, job.item, self._part(job.item), self._transfer)
                self._place(job.item)
        except FetchError as error:
            return error
        return None

    def _bring_members(self, source: Path | str, archive: Archive, members: Sequence[PublishedFile]) -> None:
        """Downloads the archive, unpacks the members, and deletes the archive."""
        packed = self._part(archive)
        download(source, archive, packed, self._transfer)
        for member in unpack(packed, archive, members, self._part):
            self._place(member)
        packed.unlink()

    def _bring_cut(self, source: Path | str, file: PublishedFile) -> None:
        """Downloads the publisher's whole file, verifies it, and keeps the data set's rows."""
        rule = self._cache.dataset.cut
        if rule is None or file.upstream_sha256 is None:
            raise RuntimeError(f"{file.path} is no cut")  # the catalogue rejects such an entry
        whole = PublishedBytes(path=file.path, bytes=rule.largest_bytes, sha256=file.upstream_sha256)
        uncut = self._part(file).with_suffix(".whole")
        download(source, whole, uncut, self._transfer)
        write_cut(uncut, file, rule, self._part(file))
        self._place(file)
        uncut.unlink()

    def _part(self, item: PublishedFile | Archive) -> Path:
        return self._cache.notes / "parts" / f"{item.path}.part"

    def _place(self, file: PublishedFile) -> None:
        target = self._cache.folder / file.path
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._part(file), target)
        self.placed.add(file)


@contextmanager
def _progress(*, quiet: bool) -> "Iterator[Progress | None]":
    """Yields a progress bar if standard output is a terminal, else None."""
    if quiet or not sys.stdout.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn()) as bar:
        yield bar


def _advance(bar: "Progress | None") -> Callable[[int], None]:
    """Returns a function that advances the bar's latest line."""
    if bar is None:
        return lambda count: None
    return lambda count: bar.advance(bar.task_ids[-1], count)
