"""One project's feature store: Parquet sources, Feast's registry, the online store.

A project's folder holds ``<view>.parquet`` for each view, ``online.db`` and ``written.json``. A new folder is written
beside the old one and replaces it when it is complete. A killed write therefore leaves the previous features in use
(or none, if killed during the exchange itself); a re-run completes it.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import ConfigurationError, DataContractError, StorageError
from modelyard.feature_store.frames import checked_frames, polars_dtype
from modelyard.feature_store.objects import EVENT_TIME, check_views, source_path
from modelyard.feature_store.online import materialise, read
from modelyard.feature_store.registration import file_lock, open_registered
from modelyard.feature_store.schema import FeatureView, feature_names, schema_digest
from modelyard.files import atomic_directory, write_text
from modelyard.startup.feast import load_feast

if TYPE_CHECKING:
    import feast
    import polars as pl


class FeatureStore:
    """Reads and writes one project's features.

    Args:
        project: The project's name.
        views: Its feature schema.
        folder: The project's own folder.
        registry: Path of the SQLite registry that all projects share, or a database URL.

    Raises:
        ConfigurationError: The schema is inconsistent (see :func:`check_views`).
    """

    def __init__(self, project: str, views: Sequence[FeatureView], *, folder: Path, registry: str) -> None:
        check_views(views)
        self.project, self.views, self.folder, self.registry = project, tuple(views), folder.absolute(), registry
        self._opened: tuple[tuple[int, int] | None, feast.FeatureStore] | None = None

    def write(self, frames: "Mapping[str, pl.DataFrame]", *, until: datetime | None = None) -> None:
        """Replaces the project's features: sources, online store, definitions.

        Args:
            frames: View name to frame (entity, ``event_time``, features); any order of rows. Of rows with the same
                entity and time the last is used.
            until: Time of the state that goes to the online store; None: that of the latest row.

        Raises:
            DataContractError: A frame does not fit the schema.
            StorageError: The disk is full or read-only; the previous features are still there.
            BusyError: Another process writes the same project's features, or the registry, for over a minute.
        """
        frames = checked_frames(self.views, frames)
        if not self.views and (not self.folder.exists() or self.exists()):
            self._write_none()
            return
        load_feast()
        until = until or _latest(frames)
        with file_lock(self.folder):
            self._sweep()
            with atomic_directory(self.folder) as folder:
                for name, frame in frames.items():
                    frame.write_parquet(source_path(folder, name))
                publish = materialise(
                    self.project, self.views, frames, until=until, folder=folder, registry=self.registry
                )
                written = {"schema": schema_digest(self.views), "until": until and until.isoformat()}
                write_text(folder / "written.json", json.dumps(written))
            publish()
            self._feast()

    def _write_none(self) -> None:
        """Writes the folder of a project without features; Feast is not imported for it."""
        with file_lock(self.folder), atomic_directory(self.folder) as folder:
            write_text(folder / "written.json", json.dumps({"schema": schema_digest(self.views), "until": None}))

    def historical(self, entities: "pl.DataFrame", views: Sequence[str] | None = None) -> "pl.DataFrame":
        """Joins to each row the features that were known at its ``event_time``.

        Args:
            entities: Entity keys (null where there is no entity) and ``event_time`` (with a time zone), N rows in any
                order; other columns are kept.
            views: Names of the views to join; None: all.

        Returns:
            ``entities`` with the views' feature columns, the same N rows in the same order; null where no
            row was known or it had expired.

        Raises:
            DataContractError: A column is missing or has the wrong type.
            StorageError: The features have not been written, or not with this schema, or a file is damaged.
        """
        chosen = [self._view(name) for name in views] if views is not None else list(self.views)
        entity_rows = _entity_rows(entities, chosen)
        return entities.hstack(self._joined(entity_rows, chosen)) if chosen else entities

    def online(self, view: str, keys: "Sequence[Any] | pl.Series", *, at: datetime | None = None) -> "pl.DataFrame":
        """Returns the features of ``keys`` from the online store.

        Args:
            view: Name of the view.
            keys: Entity keys (N); repeated, unknown and null keys are allowed.
            at: Time of the request, if it is later than the last write: rows that have expired by then are null.

        Returns:
            The entity column and the view's features, one row for each key, in order. The values equal those
            that :meth:`historical` returns for the keys at the time of the last write (or at ``at``).

        Raises:
            ConfigurationError: The project has no such view.
            DataContractError: A key has the wrong type.
            StorageError: The features have not been written, or not with this schema, or the file is damaged.
        """
        import sqlite3

        chosen = self._view(view)
        typed = _as_key(_as_column(chosen.entity, keys), polars_dtype(chosen.entity_dtype))
        try:
            return read(self._feast(), chosen, typed, at=at)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def exists(self) -> bool:
        """Returns whether features of this schema have been written."""
        try:
            return self._written()["schema"] == schema_digest(self.views)
        except StorageError:
            return False

    @property
    def _rerun(self) -> str:
        return f"kedro run --pipeline={self.project}"

    def _unreadable(self, error: BaseException) -> StorageError:
        return StorageError(f"The stored features cannot be read: {error}", where=str(self.folder), way_out=self._rerun)

    def _joined(self, entity_rows: "pl.DataFrame", views: Sequence[FeatureView]) -> "pl.DataFrame":
        """Returns the views' features for each row of ``entity_rows``, all from the same write."""
        import polars as pl

        store, stamp = self._feast(), self._stamp()
        from modelyard.feature_store.asof import EVENT_TIMESTAMP

        names = [(view.name, feature.name) for view in views for feature in view.features]
        try:
            joined: Any = store.get_historical_features(
                entity_df=entity_rows.rename({EVENT_TIME: EVENT_TIMESTAMP}).to_arrow(),
                features=[f"{view}:{feature}" for view, feature in names],
            ).to_arrow()
        except (pl.exceptions.PolarsError, OSError) as error:
            if self._stamp() == stamp:
                raise self._unreadable(error) from error
        else:
            if self._stamp() == stamp:
                return pl.DataFrame(joined.select([feature for _, feature in names]))
        # Another process has exchanged the files meanwhile, so the columns may come from different writes: join again.
        return self._joined(entity_rows, views)

    def _view(self, name: str) -> FeatureView:
        found = [view for view in self.views if view.name == name]
        if not found:
            raise ConfigurationError(
                f"There is no feature view '{name}'.",
                where=f"project {self.project}",
                way_out=f"name one of {', '.join(view.name for view in self.views)}",
            )
        return found[0]

    def _written(self) -> dict[str, str]:
        try:
            written: dict[str, str] = json.loads((self.folder / "written.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StorageError(
                "The project's features have not been written yet.", where=str(self.folder), way_out=self._rerun
            ) from error
        return written

    def _feast(self) -> "feast.FeatureStore":
        """Returns Feast's store on the current folder; it is reopened when a write has exchanged the folder."""
        load_feast()
        stamp = self._stamp()
        # During an exchange there is no folder; an open store can still be read.
        if self._opened is None or stamp not in (None, self._opened[0]):
            if self._written()["schema"] != schema_digest(self.views):
                raise StorageError(
                    "The stored features were written with another schema.", where=str(self.folder), way_out=self._rerun
                )
            self._opened = stamp, open_registered(self.project, self.views, self.folder, self.registry)
        return self._opened[1]

    def _stamp(self) -> tuple[int, int] | None:
        """Returns a value that identifies the current write; None if there is none."""
        try:
            status = os.stat(self.folder / "written.json")
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _sweep(self) -> None:
        """Removes folders that killed writes left beside the project's folder."""
        for leftover in self.folder.parent.glob(f".{self.folder.name}.*"):
            if leftover.suffix in {".part", ".old"}:
                shutil.rmtree(leftover, ignore_errors=True)


def _latest(frames: "Mapping[str, pl.DataFrame]") -> datetime | None:
    """Returns the time of the latest row of all frames; None if there is no row."""
    times = [frame[EVENT_TIME].max() for frame in frames.values()]
    return max((time for time in times if isinstance(time, datetime)), default=None)


def _entity_rows(entities: "pl.DataFrame", views: Sequence[FeatureView]) -> "pl.DataFrame":
    """Returns the views' key columns and ``event_time`` in the stored types."""
    import polars as pl

    keys = {view.entity: polars_dtype(view.entity_dtype) for view in views}
    if there := set(feature_names(views)) & set(entities.columns):
        raise DataContractError(
            f"The table has {', '.join(sorted(there))} already.",
            where="the table that features are joined to",
            way_out="drop the columns that are joined",
        )
    if missing := {*keys, EVENT_TIME} - set(entities.columns):
        raise DataContractError(
            f"The table lacks {', '.join(sorted(missing))}.",
            where="the table that features are joined to",
            way_out="give every view's entity column and event_time",
        )
    time = entities[EVENT_TIME]
    if not isinstance(time.dtype, pl.Datetime) or time.dtype.time_zone is None:
        raise DataContractError(
            f"The column holds {time.dtype}, not times with a time zone.",
            where=f"column '{EVENT_TIME}' of the table that features are joined to",
            way_out="cast it to Datetime('us', 'UTC')",
        )
    columns = [_as_key(entities[name], dtype) for name, dtype in keys.items()]
    return pl.DataFrame([*columns, time.dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC"))])


def _as_column(name: str, keys: "Sequence[Any] | pl.Series") -> "pl.Series":
    import polars as pl

    try:
        return pl.Series(name, keys)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise DataContractError(
            f"The keys are not of one type: {error}", where=f"column '{name}'", way_out="pass keys of one type"
        ) from error


def _as_key(column: "pl.Series", dtype: "pl.DataType") -> "pl.Series":
    import polars as pl

    text = isinstance(column.dtype, (pl.String, pl.Categorical, pl.Enum)) and dtype == pl.String
    number = column.dtype.is_integer() and dtype.is_integer()
    if not text and not number and column.dtype != pl.Null:
        raise DataContractError(
            f"The keys are {column.dtype}, the feature view's are {dtype}.",
            where=f"column '{column.name}'",
            way_out="cast the keys to the type in the project's feature_views",
        )
    # A number outside the stored type's range matches no key, so it becomes null.
    return column.cast(dtype, strict=False)
