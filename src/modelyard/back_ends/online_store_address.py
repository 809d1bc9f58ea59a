"""The address of the online store: which variable names it, and what it may be."""

import contextlib
from urllib.parse import urlsplit

from modelyard.errors import ConfigurationError

ONLINE_STORE_VARIABLE = "MODELYARD_ONLINE_STORE"
"""``redis://[[user]:password@]host[:port][/db]`` (``rediss`` for TLS) instead of a SQLite file."""


def check_online_store_url(url: str) -> None:
    """Checks the form of the online store's address.

    Raises:
        ConfigurationError: It is not a Redis address.
    """
    with contextlib.suppress(ValueError):  # of the port
        parts = urlsplit(url)
        is_numbered = (parts.path.strip("/") or "0").isdigit() and parts.port != 0
        if parts.scheme in {"redis", "rediss"} and parts.hostname and is_numbered:
            return
    raise ConfigurationError(
        "The online store's address is not a Redis address.",
        where=f"environment variable {ONLINE_STORE_VARIABLE}",
        way_out="set redis://[[user]:password@]host:port/db (rediss for TLS), or unset it for a SQLite file",
    )
