"""A publisher of public data on this machine that can be told to misbehave, and a toy data set that it publishes."""

import hashlib
import io
import re
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from modelyard.public_data.catalogue import Archive, PublicDataset, PublishedFile, Upstream

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Reply:
    """How the server answers for one path.

    Args:
        content: The bytes.
        status: Instead of 200; ``[503, 200]`` answers once with 503.
        breaks_after: Closes the connection after so many bytes of an answer, ``breaks`` times.
        knows_ranges: Answers a range with a range.
        gate: Waited for in the middle of an answer.
        sent: Bytes that went out, for the test to read.
    """

    content: bytes = b""
    status: list[int] = field(default_factory=lambda: [200])
    breaks_after: int = 0
    breaks: int = 0
    knows_ranges: bool = True
    gate: threading.Event | None = None
    sent: int = 0


@dataclass
class Server:
    """The publisher: ``replies`` by path (no leading slash), ``requests`` as (path, Range header) in order."""

    address: str
    replies: dict[str, Reply] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def publish(self, contents: dict[str, bytes], folder: str = "") -> None:
        self.replies.update({folder + path: Reply(content) for path, content in contents.items()})

    def paths(self) -> list[str]:
        return sorted(path for path, _ in self.requests)


@contextmanager
def running_server():
    """Yields a :class:`Server` on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, wanted = self.path.lstrip("/"), self.headers.get("Range", "")
            server.requests.append((path, wanted))
            reply = server.replies.get(path, Reply(status=[404]))
            status = reply.status[0] if len(reply.status) == 1 else reply.status.pop(0)
            body = reply.content if status == 200 else b""
            start = int(re.match(r"bytes=(\d+)-", wanted).group(1)) if wanted and reply.knows_ranges else 0
            if start and start >= len(body):
                status, body = 416, b""
            self.send_response(206 if start and status == 200 else status)
            if start and status == 200:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.answer(reply, body)

        def answer(self, reply: Reply, body: bytes) -> None:
            breaks = reply.breaks > 0
            reply.breaks -= breaks
            body = body[: reply.breaks_after] if breaks else body
            middle = len(body) // 2
            for piece in (body[:middle], body[middle:]):
                for start in range(0, len(piece), 65_536):
                    reply.sent += self.wfile.write(piece[start : start + 65_536])
                if reply.gate:
                    reply.gate.wait()
            self.close_connection = breaks

        def log_message(self, *_: object) -> None:
            """Tests read ``requests`` instead."""

    class QuietServer(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that was killed is part of the test."""

    http = QuietServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}")
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def published(path: str, content: bytes, **fields) -> PublishedFile:
    return PublishedFile(path=path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), **fields)


def zipped(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # the same bytes at any time
    return buffer.getvalue()


def toy_dataset(
    address: str, plain: dict[str, bytes], packed: dict[str, bytes] | None = None, packed_as: bytes | None = None
) -> PublicDataset:
    """A data set called ``toy``.

    Args:
        address: The publisher's.
        plain: Path to content of plain files.
        packed: Path to content of the members of ``packed.zip``.
        packed_as: The archive's bytes, where they are not just those of a zip of ``packed``.
    """
    archives = ()
    if packed:
        members = tuple(published(path, content) for path, content in packed.items())
        whole = published("packed.zip", packed_as or zipped(packed))
        archives = (Archive(path=whole.path, bytes=whole.bytes, sha256=whole.sha256, members=members),)
    return PublicDataset(
        name="toy",
        title="A toy",
        description="Nothing.",
        projects=("toy_project",),
        homepage="http://127.0.0.1/toy",
        licence="CC0-1.0",
        citation="Nobody (2024), Nothing.",
        split="none",
        upstream=Upstream(repository=f"{address}/toy", commit=COMMIT, files=f"{address}/{{commit}}/{{path}}"),
        files=tuple(published(path, content) for path, content in plain.items()),
        archives=archives,
    )
