"""Online features of a request's keys, straight from the SQLite file that Feast wrote.

Feast's ``get_online_features`` asks its registry and wraps every value several times, which takes milliseconds, and
importing it takes longer than everything else the server does at its start. Here one SELECT reads the same rows and
the values are parsed by Feast's own protobuf class. Stores that are not SQLite (Redis) are read through Feast.
"""

import importlib.util
import json
import os
import sqlite3
import struct
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from modelyard.errors import StorageError
from modelyard.feature_store.objects import online_store
from modelyard.feature_store.schema import FeatureView, schema_digest
from modelyard.paths import data_directory

if TYPE_CHECKING:
    from modelyard.project import Project

_STRING, _INT64 = 2, 4
"""``feast.ValueType`` numbers in a stored key."""

_NOTHING: tuple[None, dict[str, Any]] = (None, {})


class Known(NamedTuple):
    """What the store knows of one request.

    Args:
        features: Feature name to value, None where nothing is known.
        as_of: View name to the time of the row that was read (ISO 8601), None where there is none.
    """

    features: dict[str, Any]
    as_of: dict[str, str | None]


class OnlineFeatures:
    """Reads one project's online store; for one thread at a time.

    Args:
        project: The project's record.
        folder: Its feature folder; None: ``04_feature/<project>`` of the data directory.
    """

    def __init__(self, project: "Project", folder: Path | None = None) -> None:
        self._project = project
        self._views = [_Table(project.name, view) for view in project.feature_views]
        self._folder = folder or data_directory() / "04_feature" / project.name
        self._written = str(self._folder / "written.json")
        self._digest = schema_digest(project.feature_views)
        self._opened: tuple[tuple[int, int], sqlite3.Connection] | None = None
        self._store: Any = None
        self._is_sqlite = online_store(self._folder)["type"] == "sqlite"

    def known(self, requests: Sequence[Any]) -> list[Known]:
        """What is known of the keys of ``requests``, each an object with the entities as attributes.

        A row that has expired at the request's own time (now, where it has none) is left out.

        Raises:
            StorageError: No features have been written, or with another schema.
        """
        knowns = [Known({}, {}) for _ in requests]
        connection = self._connection() if self._is_sqlite else None
        for table in self._views:
            view = table.view
            keys = [getattr(request, view.entity) for request in requests]
            rows = self._rows(connection, table, keys)
            for request, key, known in zip(requests, keys, knowns, strict=True):
                at, values = rows.get(key, _NOTHING)
                if at is not None and view.ttl and at < self._moment(request) - view.ttl:
                    at, values = _NOTHING
                for name in table.names:
                    known.features[name] = values.get(name)
                known.as_of[view.name] = at.isoformat() if at else None
        return knowns

    def _moment(self, request: Any) -> datetime:
        moment = getattr(request, self._project.contract.event_time, None)
        return moment if isinstance(moment, datetime) else datetime.now(UTC)

    def _rows(
        self, connection: sqlite3.Connection | None, table: "_Table", keys: Sequence[Any]
    ) -> Mapping[Any, tuple[datetime, dict[str, Any]]]:
        wanted = {key for key in keys if key is not None and not (isinstance(key, int) and key.bit_length() > 63)}
        if connection is None:
            return _through_feast(self._feast_store(), table.view, sorted(wanted)) if wanted else {}
        try:
            return table.read(connection, wanted)
        except sqlite3.Error as error:
            raise StorageError(
                f"The online store cannot be read: {error}.",
                where=str(self._folder),
                way_out=f"kedro run --pipeline={self._project.name}",
            ) from error

    def _feast_store(self) -> Any:
        """Feast's store, opened once."""
        if self._store is None:
            from modelyard.feature_store.registration import open_registered
            from modelyard.startup.feast import load_feast

            load_feast()
            registry = str(self._folder.parent / "registry.db")
            self._store = open_registered(self._project.name, self._project.feature_views, self._folder, registry)
        return self._store

    def _connection(self) -> sqlite3.Connection:
        """On the file as it is now: opened anew when a run has exchanged the folder."""
        try:
            status = os.stat(self._written)
        except FileNotFoundError:
            if self._opened is not None:
                return self._opened[1]  # the instant of an exchange
            raise StorageError(
                "The project's features have not been written yet.",
                where=str(self._folder),
                way_out=f"kedro run --pipeline={self._project.name}",
            ) from None
        stamp = (status.st_ino, status.st_mtime_ns)
        if self._opened is None or self._opened[0] != stamp:
            if json.loads(Path(self._written).read_text(encoding="utf-8"))["schema"] != self._digest:
                raise StorageError(
                    "The stored features were written with another schema.",
                    where=str(self._folder),
                    way_out=f"kedro run --pipeline={self._project.name}",
                )
            connection = sqlite3.connect(
                f"file:{self._folder / 'online.db'}?mode=ro", uri=True, check_same_thread=False
            )
            self._opened = stamp, connection
        return self._opened[1]


class _Table:
    """The SQLite table that Feast keeps one view's online rows in: a row for each key and feature."""

    def __init__(self, project: str, view: FeatureView) -> None:
        self.view, self.names = view, [feature.name for feature in view.features]
        self._select = f'SELECT entity_key, feature_name, value, event_ts FROM "{project}_{view.name}" WHERE entity_key'  # noqa: S608  # names of the project's own schema
        name = view.entity.encode()
        # The beginning of every key as Feast stores it (``serialize_entity_key``, version 3, one join key).
        self._prefix = struct.pack("<III", 1, _STRING, len(name)) + name

    def read(self, connection: sqlite3.Connection, keys: Collection[Any]) -> dict[Any, tuple[datetime, dict[str, Any]]]:
        """Key to the time and the values of its row."""
        found: dict[Any, tuple[datetime, dict[str, Any]]] = {}
        parse = _value_class().FromString
        stored = {self._stored(key): key for key in keys}
        statement = f"{self._select} IN ({','.join('?' * len(stored))})"
        for stored_key, name, data, at in connection.execute(statement, list(stored)):
            key = stored[stored_key]
            if key not in found:
                # Feast writes a UTC time as if it were local, and reads it back the same way.
                found[key] = (datetime.fromtimestamp(at).replace(tzinfo=UTC), {})
            found[key][1][name] = _plain(parse(data))
        return found

    def _stored(self, key: Any) -> bytes:
        if self.view.entity_dtype == "int64":
            return self._prefix + struct.pack("<IIq", _INT64, 8, key)
        value = str(key).encode()
        return self._prefix + struct.pack("<II", _STRING, len(value)) + value


def _plain(value: Any) -> Any:
    """A protobuf ``Value`` as a Python value; None where nothing is set."""
    field = value.WhichOneof("val")
    if field is None or field == "null_val":
        return None
    plain = getattr(value, field)
    return list(plain.val) if field.endswith("_list_val") else plain


_loaded_class: Any = None


def _value_class() -> Any:
    """Feast's protobuf ``Value``, from its file: importing the package around it takes seconds."""
    global _loaded_class
    if _loaded_class is None:
        package = importlib.util.find_spec("feast")
        if package is None or package.origin is None:
            raise StorageError("Feast is not installed.", way_out="install the packages of requirements.lock")
        path = Path(package.origin).parent / "protos" / "feast" / "types" / "Value_pb2.py"
        spec = importlib.util.spec_from_file_location("modelyard_feast_value", path)
        if spec is None or spec.loader is None:
            raise StorageError("Feast's value type cannot be loaded.", where=str(path))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _loaded_class = module.Value
    return _loaded_class


def _through_feast(store: Any, view: FeatureView, keys: Sequence[Any]) -> Mapping[Any, tuple[datetime, dict[str, Any]]]:
    """The same from any store that Feast knows."""
    names = [feature.name for feature in view.features]
    response = store.get_online_features(
        features=[f"{view.name}:{name}" for name in names], entity_rows={view.entity: list(keys)}
    )
    values = response.to_dict()
    times = response.proto.results[-1].event_timestamps
    return {
        key: (time.ToDatetime(UTC), {name: values[name][row] for name in names})
        for row, (key, time) in enumerate(zip(values[view.entity], times, strict=True))
        if time.seconds
    }
