"""API keys: the environment holds their hashes, never the keys."""

import hmac
import os
import re
from hashlib import sha256

from modelyard.errors import ConfigurationError

KEYS_VARIABLE = "MODELYARD_API_KEYS"
"""sha256 of each key that may ask, in hex, separated by commas or spaces; unset: everybody may."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class ApiKeys:
    """Who may ask.

    Args:
        digests: sha256 of the keys, hex.
    """

    def __init__(self, digests: tuple[str, ...]) -> None:
        self._digests = tuple(digest.encode() for digest in digests)

    @classmethod
    def from_environment(cls) -> "ApiKeys":
        """The hashes in :data:`KEYS_VARIABLE`.

        Raises:
            ConfigurationError: One of them is no sha256; it is not repeated, it may be a key.
        """
        digests = tuple(os.environ.get(KEYS_VARIABLE, "").replace(",", " ").lower().split())
        wrong = [str(number) for number, digest in enumerate(digests, 1) if not _DIGEST.fullmatch(digest)]
        if wrong:
            raise ConfigurationError(
                f"Entry {', '.join(wrong)} is not a sha256 in hex.",
                where=f"environment variable {KEYS_VARIABLE}",
                way_out='hash the key: printf %s "$KEY" | sha256sum',
            )
        return cls(digests)

    @property
    def are_required(self) -> bool:
        """Whether requests need a key."""
        return bool(self._digests)

    def allow(self, headers: "dict[bytes, bytes]") -> bool:
        """Whether the request's ``Authorization: Bearer`` or ``X-API-Key`` is one of the keys; in constant time."""
        if not self._digests:
            return True
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        digest = sha256(given).hexdigest().encode()
        # Every hash is compared, so that the time does not say which one was near.
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0
