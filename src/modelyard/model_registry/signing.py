"""Signatures of versions: who can write the registry and the files, but has no key, cannot make a version that serves.

HMAC-SHA256 (RFC 2104) over the project's name and the digest of the version's files. The same key signs at registration
and is asked for where versions are promoted and served; without a key nothing is signed or asked.
"""

import hmac
import os
from collections.abc import Mapping
from hashlib import sha256

from modelyard.errors import ConfigurationError, StorageError
from modelyard.model_registry.mlflow_model import FILES_TAG

KEY_VARIABLE = "MODELYARD_SIGNING_KEY"
"""The key; it is read from the environment alone, and written nowhere."""

SIGNATURE_TAG = "files_signature"
"""Tag of a version: its signature."""

_MIN_CHARACTERS = 32


def check_key() -> None:
    """Checks the key, if there is one.

    Raises:
        ConfigurationError: It is too short to be one; it is not repeated.
    """
    key = os.environ.get(KEY_VARIABLE, "")
    if key and len(key) < _MIN_CHARACTERS:
        raise ConfigurationError(
            f"The signing key has {len(key)} characters; {_MIN_CHARACTERS} are needed.",
            where=f"environment variable {KEY_VARIABLE}",
            way_out="make one: openssl rand -hex 32",
        )


def signed(project: str, files_digest: str) -> dict[str, str]:
    """Returns the tag with the signature of a version's files; no tag without a key.

    Args:
        project: The registered model's name.
        files_digest: See :data:`modelyard.model_registry.mlflow_model.FILES_TAG`.

    Raises:
        ConfigurationError: The key is too short.
    """
    check_key()
    key = os.environ.get(KEY_VARIABLE, "")
    return {SIGNATURE_TAG: _signature(key, project, files_digest)} if key else {}


def check_signature(project: str, version: str, tags: Mapping[str, str]) -> None:
    """Checks a version's signature, where a key is set; that its files have the signed digest is checked with them.

    Args:
        project: The registered model's name.
        version: For messages.
        tags: The version's tags.

    Raises:
        ConfigurationError: The key is too short.
        StorageError: The version is not signed, or not with this key.
    """
    check_key()
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        return
    digest, signature = tags.get(FILES_TAG, ""), tags.get(SIGNATURE_TAG, "")
    if digest and hmac.compare_digest(signature.encode(), _signature(key, project, digest).encode()):
        return
    raise StorageError(
        f"Version {version} of {project} is {'signed with another key, or changed' if signature else 'not signed'}.",
        where=f"tag {SIGNATURE_TAG} of the version",
        way_out=f"if you trust its files: kedro promote {project} --version {version} --sign; else train a new one",
    )


def _signature(key: str, project: str, files_digest: str) -> str:
    return hmac.new(key.encode(), f"modelyard version\n{project}\n{files_digest}".encode(), sha256).hexdigest()
