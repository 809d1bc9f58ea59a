"""Copies one file from a folder or a web server, resumes broken downloads, and verifies the bytes."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from modelyard.errors import FetchError, StorageError
from modelyard.files import sha256_of_file, writing
from modelyard.public_data.catalogue import PublishedBytes

if TYPE_CHECKING:
    import httpx

_CHUNK_BYTES = 1 << 18
_PAUSES_S = (0.5, 2.0)
"""Pauses before retrying a broken connection; publishers' servers break connections under load."""

_NEVER_PROXIED = ("all://127.0.0.1", "all://localhost", "all://[::1]")


class UnreachableError(FetchError):
    """The server itself cannot be reached, so its other files are not tried."""


@dataclass(frozen=True)
class Transfer:
    """State shared by the downloads of one fetch.

    Args:
        client: The HTTP client.
        advance: Called with the number of bytes that arrived; negative if some were discarded.
        stop: Set to end all downloads at their next chunk.
    """

    client: "httpx.Client"
    advance: Callable[[int], None]
    stop: threading.Event

    def copy(self, source: IO[bytes], target: IO[bytes], limit: int) -> None:
        """Copies ``source`` to its end, but at most one chunk beyond ``limit`` bytes."""
        while limit >= 0 and (chunk := source.read(_CHUNK_BYTES)):
            self.took(chunk)
            target.write(chunk)
            limit -= len(chunk)

    def took(self, chunk: bytes) -> None:
        """Counts a chunk; ends this download if ``stop`` is set."""
        if self.stop.is_set():
            raise CancelledError
        self.advance(len(chunk))


def open_client() -> "httpx.Client":
    """Returns a client that uses the environment's proxies and certificates, except for local addresses."""
    import httpx

    return httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(30.0, connect=10.0),
        headers={"Accept-Encoding": "identity"},  # a range of compressed bytes would not continue the file
        mounts=dict.fromkeys(_NEVER_PROXIED),
    )


def download(source: Path | str, published: PublishedBytes, part: Path, transfer: Transfer) -> None:
    """Writes the published bytes to ``part``, which may hold the beginning of an earlier download.

    Args:
        source: A file, or an http(s) URL.
        published: Size and sha256 that the bytes must have.
        part: File to write; kept after a broken connection, to resume; deleted on any other failure.
        transfer: See :class:`Transfer`.

    Raises:
        UnreachableError: No connection to the server.
        FetchError: The source lacks the file, the connection broke repeatedly, or the bytes are not the published
            ones.
        StorageError: The disk is full or the folder read-only.
    """
    is_resumed = part.exists()
    while True:
        try:
            _fill(source, published, part, transfer)
        except StorageError:
            part.unlink(missing_ok=True)
            raise
        found = sha256_of_file(part)
        if found == published.sha256:
            return
        size = part.stat().st_size
        part.unlink()
        transfer.advance(-size)
        if not is_resumed:
            break
        is_resumed = False  # the resumed beginning may have been wrong: download again from the start
    raise FetchError(
        f"{published.path}: these are not the published bytes ({size} bytes with sha256 {found[:12]}…, "
        f"not {published.bytes} with {published.sha256[:12]}…); they were thrown away.",
        where=str(source),
    )


def _fill(source: Path | str, published: PublishedBytes, part: Path, transfer: Transfer) -> None:
    with writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Path):
        _copy_file(source, published, part, transfer)
    else:
        _request(source, published, part, transfer)


def _copy_file(source: Path, published: PublishedBytes, part: Path, transfer: Transfer) -> None:
    try:
        file = source.open("rb")
    except OSError as error:
        raise FetchError(f"{published.path}: cannot be read ({error.strerror}).", where=str(source)) from error
    with file, writing(part), part.open("wb") as target:
        transfer.copy(file, target, published.bytes)
        _flush(target)


def _request(url: str, published: PublishedBytes, part: Path, transfer: Transfer) -> None:
    """Requests the missing part of a file, and retries after a pause if the connection breaks."""
    import httpx

    for pause in (*_PAUSES_S, None):
        try:
            _continue(url, published, part, transfer)
            return
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise UnreachableError(f"{published.path}: no connection to the server ({error}).", where=url) from error
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            if pause is None:
                raise FetchError(f"{published.path}: the server broke off ({error}).", where=url) from error
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise FetchError(f"{published.path}: {error}", where=url) from error
        if transfer.stop.wait(pause):
            raise CancelledError


def _continue(url: str, published: PublishedBytes, part: Path, transfer: Transfer) -> None:
    """Sends one request for the bytes after the end of ``part``, or for all bytes."""
    have = part.stat().st_size if part.exists() else 0
    if have > published.bytes:
        have = 0
    if have and have == published.bytes:
        transfer.advance(have)
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with transfer.client.stream("GET", url, headers=headers) as response:
        if have and not _continues(response, have):
            if response.status_code in (206, 416):
                part.unlink()
                _continue(url, published, part, transfer)
                return
            have = 0
        _check_status(response, published, url)
        with writing(part), part.open("ab" if have else "wb") as target:
            transfer.advance(have)
            try:
                for chunk in response.iter_raw():
                    transfer.took(chunk)
                    target.write(chunk)
                    if target.tell() > published.bytes:
                        break
                _flush(target)
            except BaseException:
                transfer.advance(-target.tell())
                raise


def _continues(response: "httpx.Response", have: int) -> bool:
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _check_status(response: "httpx.Response", published: PublishedBytes, url: str) -> None:
    """Raises an error for any status but success; the error for a busy server leads to a retry."""
    if response.status_code == 429 or response.status_code >= 500:
        response.raise_for_status()
    if response.status_code not in (200, 206):
        answer = f"{response.status_code} {response.reason_phrase}"
        raise FetchError(f"{published.path}: the server does not give it ({answer}).", where=url)


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
