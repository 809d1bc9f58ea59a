"""A connection to the Redis that the environment names, and what it refuses in words that help."""

import contextlib
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from modelyard.back_ends.online_store_address import ONLINE_STORE_VARIABLE, check_online_store_url
from modelyard.errors import StorageError

_CONNECT_TIMEOUT_S, _ANSWER_TIMEOUT_S = 5, 20
_N_RETRIES, _RETRY_AFTER_S = 2, 0.05


def connected(url: str | None = None) -> redis.Redis:
    """A client that has been answered once.

    Args:
        url: ``redis://...``; None: what :data:`ONLINE_STORE_VARIABLE` says.

    Raises:
        ConfigurationError: That is no Redis address.
        StorageError: Redis does not answer, or refuses.
    """
    url = url or os.environ.get(ONLINE_STORE_VARIABLE, "")
    check_online_store_url(url)
    client = redis.Redis.from_url(
        url,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_ANSWER_TIMEOUT_S,
        protocol=2,  # whose refusals are the readable ones
        retry=Retry(ConstantBackoff(_RETRY_AFTER_S), _N_RETRIES),
    )
    with answering(url):
        client.ping()  # a long command without a password only finds the connection closed
    return client


@contextlib.contextmanager
def answering(url: str | None = None) -> Iterator[None]:
    """Turns what Redis answers instead of doing its work into an error with a way out; no password is in it.

    Raises:
        StorageError: Redis does not answer, or refuses.
    """
    try:
        yield
    except redis.RedisError as error:
        raise StorageError(
            f"The online store does not answer: {str(error).rstrip('.')}.",
            where=place(url),
            way_out=f"start Redis, or correct {ONLINE_STORE_VARIABLE}; then run the same command again",
        ) from error


def place(url: str | None = None) -> str:
    """Host and port, for messages."""
    parts = urlsplit(url or os.environ.get(ONLINE_STORE_VARIABLE, ""))
    return f"{parts.hostname}:{parts.port or 6379} ({ONLINE_STORE_VARIABLE})"
