"""Reads the model registry: which version carries which alias, and a version's files and tags.

The model server polls it twice a second, so it must be cheap: a database is read with one SELECT on MLflow's tables
(through MLflow's client the same takes a hundred times as long, and importing it takes seconds at every start). A
tracking server with an http address is read through the client.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from modelyard.back_ends.environment import shown
from modelyard.errors import StorageError
from modelyard.model_registry.versions import CHALLENGER, CHAMPION, HISTORY_TAG
from modelyard.tracking.mlflow_store import tracking_uri

if TYPE_CHECKING:
    from sqlalchemy import Engine

_ALIASES = "SELECT name, alias, version FROM registered_model_aliases WHERE workspace = 'default'"
_VERSION = (
    "SELECT v.source, m.artifact_location, v.creation_time, v.run_id, r.artifact_uri FROM model_versions v"
    " LEFT JOIN logged_models m ON v.source = 'models:/' || m.model_id"
    " LEFT JOIN runs r ON v.run_id = r.run_uuid"
    " WHERE v.workspace = 'default' AND v.name = :name AND v.version = :version"
)
_TAGS = "SELECT key, value FROM model_version_tags WHERE workspace = 'default' AND name = :name AND version = :version"
_VERSIONS = (  # MLflow keeps the rows of deleted versions, in this stage
    "SELECT name, version FROM model_versions WHERE workspace = 'default' AND current_stage <> 'Deleted_Internal'"
    " ORDER BY version DESC"
)
_ANY_MODEL = "SELECT name FROM registered_models WHERE workspace = 'default' LIMIT 1"
_HISTORY = "SELECT value FROM registered_model_tags WHERE workspace = 'default' AND name = :name AND key = :key"

Aliases = Mapping[tuple[str, str], str]
"""(project, alias) to version."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A registered version that may be served.

    Args:
        project: The registered model's name.
        version: Version number.
        source: MLflow's source URI; a version with the same number and another source is another version.
        location: Folder or URI of its files.
        tags: The version's tags.
        created_at: When it was registered.
        run_id: The MLflow run that made it; empty where there is none.
        artifacts: Folder or URI of that run's artifacts; empty where only the tracking server knows it.
    """

    project: str
    version: str
    source: str
    location: str
    tags: Mapping[str, str]
    created_at: datetime | None = None
    run_id: str = ""
    artifacts: str = ""

    @property
    def identity(self) -> tuple[str, str]:
        """Returns a value that is equal only for the same version with the same files."""
        return self.version, self.source


class RegistryView:
    """Reads the registry at ``uri``; thread-safe.

    Args:
        uri: MLflow tracking URI; None: :func:`modelyard.tracking.mlflow_store.tracking_uri`.
    """

    def __init__(self, uri: str | None = None) -> None:
        self._uri = uri or tracking_uri()
        self._engine: Engine | None = None
        self._has_had_aliases = False

    def aliases(self) -> Aliases:
        """Returns the aliases ``champion`` and ``challenger`` of all projects; empty if there is no registry yet.

        Raises:
            StorageError: The registry cannot be read, or it had aliases before and has no models now: a database that
                was deleted, and perhaps made anew, says nothing about what should serve.
        """
        if self._uri.startswith("http"):
            found = self._aliases_of_server()
        elif self._is_missing():
            found = {}
        else:
            found = {(name, alias): str(version) for name, alias, version in self._rows(_ALIASES)}
        if not found and self._has_had_aliases and not self._has_models():
            raise StorageError(
                "The registry had versions and is empty now.",
                where=shown(self._uri),
                way_out="restore MLflow's database; what is loaded goes on serving",
            )
        self._has_had_aliases |= bool(found)
        return {key: version for key, version in found.items() if key[1] in (CHAMPION, CHALLENGER)}

    def versions(self) -> dict[str, list[str]]:
        """Returns the versions of each project, the latest first; empty if there is no registry yet.

        Raises:
            StorageError: The registry cannot be read.
        """
        found: dict[str, list[str]] = {}
        if self._uri.startswith("http"):
            from modelyard.tracking.mlflow_store import client

            every = [(one.name, int(one.version)) for one in client().search_model_versions(max_results=10_000)]
            rows: list[Any] = sorted(every, key=lambda one: -one[1])
        else:
            rows = [] if self._is_missing() else self._rows(_VERSIONS)
        for name, version in rows:
            found.setdefault(name, []).append(str(version))
        return found

    def champion_history(self, project: str) -> list[str]:
        """Returns the versions that were promoted, the latest last.

        Raises:
            StorageError: The registry cannot be read.
        """
        if self._uri.startswith("http"):
            from modelyard.tracking.mlflow_store import client

            return str(client().get_registered_model(project).tags.get(HISTORY_TAG, "")).split()
        rows = self._rows(_HISTORY, name=project, key=HISTORY_TAG)
        return str(rows[0][0]).split() if rows else []

    def candidate(self, project: str, version: str) -> Candidate:
        """Returns a version's source, location and tags.

        Raises:
            StorageError: The version does not exist, or the registry cannot be read.
        """
        if self._uri.startswith("http"):
            from modelyard.tracking.mlflow_store import client

            found = client().get_model_version(project, version)
            return Candidate(
                project=project,
                version=version,
                source=found.source or "",
                location=found.source or "",
                tags=found.tags,
                created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
                run_id=found.run_id or "",
            )
        rows = self._rows(_VERSION, name=project, version=int(version))
        if not rows:
            raise StorageError(f"{project} has no version {version}.", where=shown(self._uri))
        source, location, created_ms, run_id, artifacts = rows[0]
        tags = {key: value or "" for key, value in self._rows(_TAGS, name=project, version=int(version))}
        return Candidate(
            project=project,
            version=version,
            source=source,
            location=location or source,
            tags=tags,
            created_at=datetime.fromtimestamp(created_ms / 1000, UTC) if created_ms else None,
            run_id=run_id or "",
            artifacts=artifacts or "",
        )

    def _has_models(self) -> bool:
        if self._uri.startswith("http"):
            from modelyard.tracking.mlflow_store import client

            return bool(client().search_registered_models(max_results=1))
        return not self._is_missing() and bool(self._rows(_ANY_MODEL))

    def _is_missing(self) -> bool:
        return self._uri.startswith("sqlite:///") and not Path(self._uri.removeprefix("sqlite:///")).exists()

    def _aliases_of_server(self) -> dict[tuple[str, str], str]:
        from modelyard.tracking.mlflow_store import client

        models = client().search_registered_models(max_results=1000)
        return {(model.name, alias): str(version) for model in models for alias, version in model.aliases.items()}

    def _rows(self, statement: str, **values: Any) -> list[Any]:
        from sqlalchemy import create_engine, text
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.pool import NullPool

        if self._is_missing():  # connecting would make an empty file in its place
            raise StorageError("The registry is not there.", where=shown(self._uri))
        try:
            if self._engine is None:
                self._engine = create_engine(self._uri, poolclass=NullPool)
            with self._engine.connect() as connection:
                return list(connection.execute(text(statement), values))
        except SQLAlchemyError as error:
            raise StorageError(
                f"The registry cannot be read: {str(error).splitlines()[0]}",
                where=shown(self._uri),
                way_out="see that the database can be reached; what is loaded goes on serving",
            ) from error


@contextlib.contextmanager
def files_of(candidate: Candidate) -> Iterator[Path]:
    """Yields the version's MLflow model folder: the local folder itself, else a temporary download."""
    parts = urlsplit(candidate.location)
    if parts.scheme in ("", "file"):
        yield Path(unquote(parts.path))
        return
    from modelyard.tracking.mlflow_store import download_version

    with tempfile.TemporaryDirectory() as temporary:
        yield download_version(candidate.project, candidate.version, Path(temporary))
