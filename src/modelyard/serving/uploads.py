"""The bytes of a body: of a kind that is taken, not too many, and unpacked no further than they may be."""

import zlib
from collections.abc import Mapping

from starlette.requests import Request

from modelyard.errors import ModelyardError

_DRAINED = 8
"""How many times the limit a body may have and still be read to its end, unused: so that any client sees the answer."""


class BodyTooLargeError(ModelyardError):
    """A body has more bytes than one may have."""


class NotTakenError(ModelyardError):
    """A body's type or packing is none that is taken."""


def check_head(headers: Mapping[str, str]) -> str:
    """What the body is packed with: empty, ``gzip`` or ``deflate``.

    Raises:
        NotTakenError: It is no JSON, or packed with something else.
    """
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise NotTakenError(f"The body's type '{kind[:100]}' is not taken.", way_out="Content-Type: application/json")
    packing = headers.get("content-encoding", "").strip().lower().replace("x-gzip", "gzip").replace("identity", "")
    if packing not in ("", "gzip", "deflate"):
        raise NotTakenError(
            f"The body's encoding '{packing[:100]}' is not taken.", way_out="send it as it is, or with gzip"
        )
    return packing


async def received(request: Request, max_bytes: int) -> bytes:
    """The body as it was sent.

    Raises:
        BodyTooLargeError: It is too large; it has been read to its end, unless it has no end in sight.
    """
    declared = request.headers.get("content-length", "")
    asks_first = request.headers.get("expect", "").lower() == "100-continue"
    if declared.isdecimal() and int(declared) > max_bytes * (1 if asks_first else _DRAINED):
        raise _too_large(max_bytes)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > _DRAINED * max_bytes:
            break
        if size <= max_bytes:
            parts.append(part)
    if size > max_bytes:
        raise _too_large(max_bytes)
    return b"".join(parts)


def unpacked(data: bytes, packing: str, max_bytes: int) -> bytes:
    """The body without its packing.

    Raises:
        BodyTooLargeError: It unpacks to too much; no more than that was unpacked.
        NotTakenError: It is damaged.
    """
    if not packing:
        return data
    # 32: gzip or zlib, whichever it begins with; -15: deflate without a head, which some clients send.
    for window in (47, -15):
        unpacker = zlib.decompressobj(window)
        try:
            text = unpacker.decompress(data, max_bytes + 1)
        except zlib.error:
            continue
        if len(text) > max_bytes:
            raise _too_large(max_bytes)
        if unpacker.eof and not unpacker.unused_data:
            return text
    raise NotTakenError(f"The body is not whole, or no {packing}.", way_out="send it as it is")


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"The body is larger than {max_bytes / 1e6:g} MB.", way_out="send fewer rows in a request, or smaller ones"
    )
