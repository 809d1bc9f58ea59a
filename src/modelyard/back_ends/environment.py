"""The servers that several machines share: which ones an environment demands, and whether they answer.

``conf/<environment>/back_ends.yml`` says where each is (``${oc.env:...}``). A run in such an environment asks all of
them before it does anything else; an environment without the file uses local files. docs/production.md has the table.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from modelyard.errors import ConfigurationError, StorageError

VARIABLES = {
    "tracking": "MLFLOW_TRACKING_URI",
    "artifacts": "MLFLOW_DEFAULT_ARTIFACT_ROOT",
    "studies": "MODELYARD_OPTUNA_STORAGE",
    "feature_registry": "MODELYARD_FEATURE_REGISTRY",
    "online_features": "MODELYARD_ONLINE_STORE",
}
"""Back end to the environment variable that its reader looks at."""

DATABASE_FORM = "postgresql+psycopg://user:password@host:5432/database"
CONNECT_TIMEOUT_S = 5
_TABLE = "docs/production.md lists every variable"


def environment_variable(name: str, default: str | None = None) -> str:
    """What ``${oc.env:NAME}`` and ``${oc.env:NAME,default}`` stand for in ``conf/``.

    Raises:
        ConfigurationError: The variable is not set, or empty, and there is no default.
    """
    value = os.environ.get(name) or default
    if value is None:
        raise ConfigurationError(f"The environment variable {name} is not set.", where="conf/", way_out=_TABLE)
    return value


def configure(demanded: Mapping[str, str]) -> None:
    """Checks the back ends one by one and sets their environment variables, for this process and its children.

    Args:
        demanded: Names of :data:`VARIABLES` to addresses.

    Raises:
        ConfigurationError: A name is unknown, or an address is missing or of the wrong kind.
        StorageError: A server does not answer, or does not let us in.
    """
    if unknown := sorted(set(demanded) - set(VARIABLES)):
        raise ConfigurationError(
            f"There is no back end called {', '.join(unknown)}.",
            where="back_ends.yml",
            way_out=f"the back ends are {', '.join(VARIABLES)}",
        )
    tracked_by_server = str(demanded.get("tracking", "")).startswith("http")
    for name, address in demanded.items():
        if name == "artifacts" and tracked_by_server:
            continue  # the tracking server decides where they lie
        check(name, str(address or ""))
        os.environ[VARIABLES[name]] = str(address)


def check(name: str, address: str) -> None:
    """Checks one back end.

    Raises:
        ConfigurationError: The address is missing or of the wrong kind.
        StorageError: The server does not answer, or does not let us in.
    """
    variable = VARIABLES[name]
    if not address:
        raise ConfigurationError(f"The environment variable {variable} is not set.", where=name, way_out=_TABLE)
    if name == "online_features":
        from modelyard.back_ends.redis_access import connected

        connected(address).close()
    elif name == "artifacts":
        check_bucket(address, variable)
    elif name == "tracking" and address.startswith("http"):
        check_tracking_server(address, variable)
    else:
        check_database(address, variable)


def check_database(url: str, variable: str) -> None:
    """Connects once to a PostgreSQL database. No message holds the password.

    Args:
        url: ``postgresql+psycopg://...``
        variable: Environment variable that it comes from, for messages.

    Raises:
        ConfigurationError: That is no such address.
        StorageError: The server does not answer, or does not let us in.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    wrong = ConfigurationError(
        f"The environment variable {variable} holds no PostgreSQL address.",
        where=f"environment variable {variable}",
        way_out=f"set it to {DATABASE_FORM}; special characters in the password are percent-encoded",
    )
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise wrong from None  # the reason would show the address with its password
    if parsed.drivername not in ("postgresql", "postgresql+psycopg"):
        raise wrong
    parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_S})
    try:
        with engine.connect():
            return
    except SQLAlchemyError as error:
        reason = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
        raise StorageError(
            f"The database does not let us in: {reason}",
            where=f"{shown(url)} ({variable})",
            way_out=f"start the server, or correct {variable}; then run the same command again",
        ) from error


def check_tracking_server(address: str, variable: str) -> None:
    """Asks an MLflow server for its health.

    Raises:
        StorageError: It does not answer.
    """
    import httpx

    try:
        httpx.get(f"{address.rstrip('/')}/health", timeout=CONNECT_TIMEOUT_S).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StorageError(
            f"The MLflow server does not answer: {type(error).__name__}.",
            where=f"{shown(address)} ({variable})",
            way_out=f"start the server, or correct {variable}; then run the same command again",
        ) from None


def check_bucket(address: str, variable: str) -> None:
    """Asks an S3 server for a bucket, with the credentials of the environment.

    Args:
        address: ``s3://bucket/folder``.
        variable: Environment variable that it comes from, for messages.

    Raises:
        ConfigurationError: That is no such address.
        StorageError: The server does not answer, or does not let us in, or there is no such bucket.
    """
    import boto3  # type: ignore[import-untyped]  # no type information
    from botocore.config import Config  # type: ignore[import-untyped]  # no type information
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]  # no type information

    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigurationError(
            f"The environment variable {variable} holds no S3 address.",
            where=f"environment variable {variable}",
            way_out="set it to s3://bucket/folder",
        )
    patience = Config(connect_timeout=CONNECT_TIMEOUT_S, read_timeout=CONNECT_TIMEOUT_S, retries={"max_attempts": 1})
    endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None
    try:
        # A session of its own: the default one keeps the credentials that it met first.
        boto3.Session().client("s3", endpoint_url=endpoint, config=patience).head_bucket(Bucket=parts.netloc)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise StorageError(
            f"The artifact store does not let us in: {error}",
            where=f"{address} ({variable})",
            way_out="check the bucket and AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
        ) from error


def without_back_ends(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables for a process that keeps everything in files of its own and touches no shared server."""
    shared = {*VARIABLES.values(), "MLFLOW_REGISTRY_URI"}
    return {name: value for name, value in environment.items() if name not in shared}


def shown(address: Any) -> str:
    """An address as it may be shown: without its password."""
    parts = urlsplit(str(address))
    if "@" not in parts.netloc:
        return str(address)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}", query="").geturl()
