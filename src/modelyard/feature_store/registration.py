"""Opens a project's Feast store and registers its definitions, safely for concurrent processes."""

import contextlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.back_ends.environment import check_database
from modelyard.errors import BusyError, StorageError
from modelyard.feature_store.objects import (
    DATABASE_PATIENCE_S,
    REGISTRY_VARIABLE,
    feast_objects,
    is_file,
    repo_config,
)
from modelyard.feature_store.schema import FeatureView, schema_digest
from modelyard.files import writing

if TYPE_CHECKING:
    import feast

_DIGEST_TAG = "definitions"


def open_registered(project: str, views: Sequence[FeatureView], folder: Path, registry: str) -> "feast.FeatureStore":
    """Opens the project's Feast store; applies its definitions if the registry has none or other ones.

    The project's entry in the registry contains a digest of the definitions and is written last, so the next process
    repeats an apply that was killed.

    Args:
        project: The project's name.
        views: Its feature schema.
        folder: Folder of its sources and SQLite online store.
        registry: Path of a SQLite file or a database URL.

    Raises:
        BusyError: The registry stayed locked for a minute.
        StorageError: The registry cannot be read or written.
    """
    import feast
    from feast.errors import ProjectObjectNotFoundException

    config = repo_config(project, folder, registry, schema_digest(views))
    digest = sha256(f"{schema_digest(views)}\0{folder}".encode()).hexdigest()
    with alone(config.registry.path):
        store = feast.FeatureStore(config=config)
        try:
            registered = store.registry.get_project(project).tags.get(_DIGEST_TAG)
        except ProjectObjectNotFoundException:
            registered = None
        if registered != digest:
            _apply(store, views, folder)
            store.registry.apply_project(feast.Project(name=project, tags={_DIGEST_TAG: digest}))
    return store


def _apply(store: "feast.FeatureStore", views: Sequence[FeatureView], folder: Path) -> None:
    """Makes the registry hold exactly ``views`` for the store's project."""
    from feast.feature_view import DUMMY_ENTITY_NAME

    entities, feast_views = feast_objects(views, folder)
    objects: list[Any] = [*entities, *feast_views]
    kept = {item.name for item in objects} | {DUMMY_ENTITY_NAME}
    existing: list[Any] = [*store.list_feature_views(), *store.list_entities(), *store.list_data_sources()]
    gone = [item for item in existing if item.name not in kept]
    store.apply(objects, objects_to_delete=gone, partial=False)


@contextlib.contextmanager
def alone(url: str) -> Iterator[None]:
    """Runs the block while no other process does so with the same registry.

    It takes a file lock or a PostgreSQL advisory lock, because Feast checks for its tables before it creates them, and
    an apply is a dozen transactions: a database's own locks cover neither.

    Raises:
        BusyError: The lock was not free for a minute.
        StorageError: The file cannot be read or written.
    """
    from sqlalchemy.exc import OperationalError

    try:
        with contextlib.ExitStack() as stack:
            if is_file(url):
                stack.enter_context(file_lock(Path(url.removeprefix("sqlite:///"))))
            else:
                stack.enter_context(_advisory_lock(url))
            yield
    except OperationalError as error:
        kind = BusyError if "lock" in str(error.orig) else StorageError
        raise kind(
            f"The feature registry answered: {error.orig}.",
            where=url if is_file(url) else "the database of the feature registry",
            way_out="see that the database can be reached and written to, then run the same command again",
        ) from error


@contextlib.contextmanager
def _advisory_lock(url: str) -> Iterator[None]:
    """Holds the lock with a separate connection, so that the server frees it however this process ends."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    check_database(url, REGISTRY_VARIABLE)
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{DATABASE_PATIENCE_S}s'"))
        connection.execute(text("SELECT pg_advisory_lock(hashtext('modelyard feature registry'))"))
        yield


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Runs the block while no other process holds the lock file beside ``path``.

    Raises:
        BusyError: The lock was not free for a minute.
        StorageError: The folder cannot be written to.
    """
    import filelock

    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(f"{path}.lock", timeout=DATABASE_PATIENCE_S)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise BusyError(
                f"Another process has been writing here for {DATABASE_PATIENCE_S} s.",
                where=str(path),
                way_out="wait for it to end, then run the same command again",
            ) from error
    try:
        yield
    finally:
        lock.release()
