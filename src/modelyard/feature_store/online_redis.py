"""The online store in Redis, exchanged as a whole.

Feast's own Redis store writes in place: an entity that is gone keeps its last values, a value corrected without a new
event time is not taken over, and a reader meets half of a write. Here each write goes to keys of its own (a
generation); one key says which generation counts and is set last. What it replaced stays a minute longer, for readers
that are under way, and what a killed write left goes with the first write a day later.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import redis
from feast import RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from modelyard.errors import StorageError
from modelyard.feature_store.objects import ONLINE_STORE_VARIABLE as VARIABLE
from modelyard.feature_store.objects import check_online_store_url

READERS_MAY_TAKE_S = 60
_ABANDONED_AFTER_NS = 24 * 3600 * 10**9
_CONNECT_TIMEOUT_S, _ANSWER_TIMEOUT_S = 5, 20
_KEYS_AT_ONCE = 1000


class ExchangedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """Feast's settings of the store. Where it is comes from the environment alone: no setting holds the password."""

    type: Literal["modelyard.feature_store.online_redis.ExchangedRedisOnlineStore"] = (  # type: ignore[assignment]  # as Feast's own stores do
        "modelyard.feature_store.online_redis.ExchangedRedisOnlineStore"
    )
    skip_dedup: bool = True  # a new generation has no earlier rows to compare with
    schema_digest: str = ""
    """Digest of the feature schema that readers expect."""


class ExchangedRedisOnlineStore(RedisOnlineStore):  # type: ignore[misc]  # Feast has no type information
    """Feast's Redis store, reading the generation that counts."""

    def _get_client(self, online_store_config: Any) -> "redis.Redis":
        if self._client is None:
            self._client = _client(os.environ.get(VARIABLE, ""))
        return self._client

    def online_write_batch(self, config: RepoConfig, table: Any, data: Any, progress: Any) -> None:
        """Writes rows to the generation that ``config.project`` names (see :func:`writing_to`)."""
        with answering():
            super().online_write_batch(config, table, data, progress)

    def _generate_redis_keys_for_entities(self, config: RepoConfig, entity_keys: Sequence[EntityKey]) -> list[bytes]:
        with answering():
            counts = self._get_client(config.online_store).get(_pointer(config.project))
        rerun = f"kedro run --pipeline={config.project}"
        if counts is None:
            raise StorageError("No features have been written there yet.", where=_where(), way_out=rerun)
        written = json.loads(counts)
        if written["schema"] != config.online_store.schema_digest:
            raise StorageError(
                "The stored features were written with another schema.", where=_where(), way_out=rerun
            )
        suffix = _suffix(config.project, written["generation"]).encode()
        version = config.entity_key_serialization_version
        return [serialize_entity_key(key, entity_key_serialization_version=version) + suffix for key in entity_keys]

    def _read_hash_fields(self, config: RepoConfig, commands: Any) -> Any:
        with answering():
            return super()._read_hash_fields(config, commands)


def writing_to(config: RepoConfig, generation: str) -> RepoConfig:
    """The configuration with which Feast writes to a generation."""
    return config.model_copy(update={"project": _suffix(config.project, generation)})


def new_generation() -> str:
    """A name that no other write has; it holds the time."""
    return f"{time.time_ns():x}-{os.urandom(3).hex()}"


def publish(project: str, generation: str, schema: str) -> None:
    """Lets a complete generation count, and lets what it replaces expire.

    Raises:
        StorageError: Redis does not answer.
    """
    with answering():
        client = _client(os.environ.get(VARIABLE, ""))
        value = json.dumps({"generation": generation, "schema": schema})
        replaced = client.set(_pointer(project), value, get=True)
        gone = json.loads(replaced)["generation"] if replaced else ""  # type: ignore[arg-type]  # not the asynchronous client
        pipe = client.pipeline(transaction=False)
        for key in client.scan_iter(match=f"*{_suffix(project, '*')}", count=_KEYS_AT_ONCE):
            _, owner, found = key.decode(errors="replace").rsplit("@", 2)
            if owner != project or found == generation:
                continue  # `owner`: a text among another project's entities may look like this project's name
            if found == gone or _age_ns(found) > _ABANDONED_AFTER_NS:
                pipe.expire(key, READERS_MAY_TAKE_S)
                if len(pipe) >= _KEYS_AT_ONCE:
                    pipe.execute()
        pipe.execute()


def ping(url: str) -> None:
    """Asks Redis for a sign of life.

    Raises:
        ConfigurationError: It is not a Redis address.
        StorageError: Redis does not answer.
    """
    check_online_store_url(url)
    with answering(url):
        _client(url).ping()


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
            where=_where(url),
            way_out=f"start Redis, or correct {VARIABLE}; then run the same command again",
        ) from error


def _client(url: str) -> "redis.Redis":
    check_online_store_url(url)
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_ANSWER_TIMEOUT_S,
        retry=Retry(ConstantBackoff(0.05), 2),
    )


def _where(url: str | None = None) -> str:
    parts = urlsplit(url or os.environ.get(VARIABLE, ""))
    return f"{parts.hostname}:{parts.port or 6379} ({VARIABLE})"


def _pointer(project: str) -> str:
    return f"modelyard:{project}:online"


def _suffix(project: str, generation: str) -> str:
    """What ends the keys of a generation."""
    return f"@{project}@{generation}"


def _age_ns(generation: str) -> int:
    return time.time_ns() - int(generation.partition("-")[0], 16)
