"""An online store in Redis whose content is replaced as a whole.

Feast's own Redis store writes in place: a deleted entity keeps its last values, a value corrected without a new event
time is not written, and a reader may see half of a write. Here each write uses its own keys (a generation); one key
names the current generation and is set last. The previous generation is kept for another minute, for readers that
have started, and the keys of a killed write are deleted by the first write a day later.
"""

import json
import os
import time
from collections.abc import Sequence
from typing import Any, Literal

from feast import RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey

from modelyard.back_ends.redis_access import answering, connected, place
from modelyard.errors import StorageError

READERS_MAY_TAKE_S = 60
_STORE: Literal["modelyard.feature_store.online_redis.ExchangedRedisOnlineStore"]
_STORE = "modelyard.feature_store.online_redis.ExchangedRedisOnlineStore"
_ABANDONED_AFTER_NS = 24 * 3600 * 10**9
_KEYS_AT_ONCE = 1000


class ExchangedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """Feast's settings of the store; its address comes from the environment only, so no file holds the password."""

    type: Literal["modelyard.feature_store.online_redis.ExchangedRedisOnlineStore"] = _STORE  # type: ignore[assignment]  # as in Feast's own stores
    skip_dedup: bool = True  # a new generation has no earlier rows to compare with
    schema_digest: str = ""
    """Digest of the feature schema that readers expect."""


class ExchangedRedisOnlineStore(RedisOnlineStore):
    """Feast's Redis store, reading the current generation."""

    def _get_client(self, online_store_config: Any) -> Any:
        if self._client is None:
            self._client = connected()
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
            raise StorageError("No features have been written there yet.", where=place(), way_out=rerun)
        written = json.loads(counts)
        if written["schema"] != config.online_store.schema_digest:
            raise StorageError("The stored features were written with another schema.", where=place(), way_out=rerun)
        suffix = _suffix(config.project, written["generation"]).encode()
        version = config.entity_key_serialization_version
        return [serialize_entity_key(key, entity_key_serialization_version=version) + suffix for key in entity_keys]

    def _read_hash_fields(self, config: RepoConfig, commands: Any) -> Any:
        with answering():
            return super()._read_hash_fields(config, commands)


def writing_to(config: RepoConfig, generation: str) -> RepoConfig:
    """Returns the configuration with which Feast writes to a generation."""
    return config.model_copy(update={"project": _suffix(config.project, generation)})


def new_generation() -> str:
    """Returns a unique name that contains the time."""
    return f"{time.time_ns():x}-{os.urandom(3).hex()}"


def publish(project: str, generation: str, schema: str) -> None:
    """Makes a complete generation the current one, and lets the previous one expire.

    Raises:
        StorageError: Redis does not answer.
    """
    with answering():
        client = connected()
        value = json.dumps({"generation": generation, "schema": schema})
        replaced = client.set(_pointer(project), value, get=True)
        gone = json.loads(replaced)["generation"] if replaced else ""  # type: ignore[arg-type]  # not the asynchronous client
        pipe = client.pipeline(transaction=False)
        for key in client.scan_iter(match=f"*{_suffix(project, '*')}", count=_KEYS_AT_ONCE):
            _, owner, found = key.decode(errors="replace").rsplit("@", 2)
            if owner != project or found == generation:
                continue  # `owner`: a string key of another project may look like this project's name
            if found == gone or _age_ns(found) > _ABANDONED_AFTER_NS:
                pipe.expire(key, READERS_MAY_TAKE_S)
                if len(pipe) >= _KEYS_AT_ONCE:
                    pipe.execute()
        pipe.execute()


def _pointer(project: str) -> str:
    return f"modelyard:{project}:online"


def _suffix(project: str, generation: str) -> str:
    """Returns the suffix of a generation's keys."""
    return f"@{project}@{generation}"


def _age_ns(generation: str) -> int:
    return time.time_ns() - int(generation.partition("-")[0], 16)
