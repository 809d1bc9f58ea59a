"""Access to the MLflow server or database that this repository writes to.

Importing mlflow takes seconds, so these functions import it only when they are called: by the stages that use the
registry, and by the tracking writer.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.back_ends.environment import VARIABLES, check_database, shown
from modelyard.errors import BusyError, StorageError
from modelyard.files import atomic_file, writing
from modelyard.paths import data_directory, repository
from modelyard.startup import telemetry

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRACKING_VARIABLE, ARTIFACTS_VARIABLE = VARIABLES["tracking"], VARIABLES["artifacts"]

_SIGNS_OF_DAMAGE = ("file is not a database", "disk image is malformed")
"""Texts in SQLite's errors for a damaged file, also when another library has wrapped the error."""

DATABASE_PATIENCE_S = 20.0
"""How long to wait for a locked SQLite database: as long as MLflow waits at each of its own statements."""


def _state_directory() -> Path:
    """Returns the folder of the default database and artifacts: the repository, where ``mlflow ui`` looks for them.

    A run whose data are elsewhere (``MODELYARD_DATA_DIR``: tests, reproductions) keeps its tracking there too.
    """
    return data_directory() if os.environ.get("MODELYARD_DATA_DIR") else repository()


def tracking_uri() -> str:
    """Returns ``$MLFLOW_TRACKING_URI``, or the URI of the default SQLite database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_state_directory() / 'mlflow.db'}"


def shown_uri() -> str:
    """Returns :func:`tracking_uri` without its password, for messages."""
    return shown(tracking_uri())


def artifact_location(experiment: str) -> str | None:
    """Returns the artifact location of a new experiment; None if a tracking server with an http address decides it.

    With a database it is a folder of ``$MLFLOW_DEFAULT_ARTIFACT_ROOT`` (``s3://bucket/folder``), or a local folder.
    """
    if tracking_uri().startswith("http"):
        return None
    if root := os.environ.get(ARTIFACTS_VARIABLE):
        return f"{root.rstrip('/')}/{experiment}"
    return (_state_directory() / "mlartifacts" / experiment).as_uri()


def client() -> "MlflowClient":
    """Returns a client for :func:`tracking_uri`; the first caller creates the database's tables.

    Raises:
        BusyError: Another process has locked the database for long.
        StorageError: The database cannot be created.
    """
    telemetry.switch_off()
    # mlflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates.
    warnings.filterwarnings("ignore", message=".*noload.*loader strategy is deprecated")
    import mlflow

    wished = os.environ.get("MLFLOW_TRACKING_URI")
    uri = tracking_uri()
    if uri.startswith("sqlite:///"):
        _make_database(Path(uri.removeprefix("sqlite:///")))
        _wait_until_free(Path(uri.removeprefix("sqlite:///")))
    elif uri.startswith("postgresql"):
        check_database(uri, TRACKING_VARIABLE)  # MLflow itself would retry for a minute
    mlflow.set_tracking_uri(uri)
    if wished is None:
        # set_tracking_uri also sets the variable, which child processes would take for the user's setting.
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=os.environ.get("MLFLOW_REGISTRY_URI") or uri)


def download_version(project: str, version: str, folder: Path) -> Path:
    """Downloads the files of a registered version into ``folder``.

    Returns:
        The MLflow model folder.

    Raises:
        mlflow.exceptions.MlflowException: There is no such version.
    """
    telemetry.switch_off()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow.artifacts import download_artifacts

    found = client().get_model_version(project, version)
    return Path(download_artifacts(found.source, dst_path=str(folder), tracking_uri=tracking_uri()))


def download_artifact(run_id: str, inside: str, folder: Path) -> Path:
    """Downloads one file of a run's artifacts into ``folder``.

    Args:
        run_id: The run.
        inside: The file's path among the artifacts.
        folder: An empty folder.

    Returns:
        The file.

    Raises:
        mlflow.exceptions.MlflowException: There is no such run or file.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return Path(client().download_artifacts(run_id, inside, str(folder)))


def _make_database(path: Path) -> None:
    """Creates MLflow's SQLite database whole or not at all.

    MLflow runs some fifty migrations on a new file; two processes doing so at once, or a kill half-way, leave a file
    that MLflow cannot open.
    """
    from filelock import FileLock
    from mlflow import MlflowClient

    if path.exists():
        return
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            with atomic_file(path) as temporary:
                MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments()


def check_local_database() -> None:
    """Checks that the SQLite database, if it exists, can be read; takes a millisecond and does not import mlflow.

    Raises:
        StorageError: The file is damaged, or is something else.
    """
    import sqlite3

    path = Path(tracking_uri().removeprefix("sqlite:///"))
    if not tracking_uri().startswith("sqlite:///") or not path.is_file() or not path.stat().st_size:
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.OperationalError:
        return  # locked, or deleted meanwhile: reported where it is used
    except sqlite3.DatabaseError as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> StorageError:
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    return StorageError(
        f"MLflow's database is damaged: {reason}.",
        where=shown_uri(),
        way_out="put a backup in its place, or move the file away: the next run makes a new one (without the old runs)",
    )


def _wait_until_free(path: Path) -> None:
    """Waits until the database is not locked; MLflow itself waits only five seconds at its first statement."""
    import sqlite3

    with readable_failures(), contextlib.closing(sqlite3.connect(path, timeout=DATABASE_PATIENCE_S)) as connection:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()


@contextlib.contextmanager
def readable_failures() -> Iterator[None]:
    """Turns errors of a locked database or a full disk inside the block into a :class:`ModelyardError`.

    Raises:
        BusyError: Another process has locked the database for long.
        StorageError: The database or the artifacts cannot be written or read.
    """
    import sqlite3

    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import DatabaseError

    try:
        with writing(_state_directory() / "mlartifacts"):
            yield
    except (sqlite3.DatabaseError, DatabaseError, MlflowException) as error:
        if any(sign in str(error) for sign in _SIGNS_OF_DAMAGE):
            raise _damaged(error) from error
        if isinstance(error, MlflowException) and error.error_code != "TEMPORARILY_UNAVAILABLE":
            raise
        where = tracking_uri() if tracking_uri().startswith("sqlite:") else "the tracking server's database"
        if "locked" in str(error):
            raise BusyError(
                f"Another process has locked MLflow's database for {DATABASE_PATIENCE_S:g} s.",
                where=where,
                way_out="end that process (a database browser, a copy under way), then run the same command again",
            ) from error
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StorageError(
            f"MLflow's database cannot be used: {reason}.",
            where=where,
            way_out="free space or make the database reachable and writable, then run the same command again",
        ) from error


def experiment_id(store: "MlflowClient", name: str) -> str:
    """Returns the id of the experiment ``name``; creates it if it is missing, also if two processes do so at once."""
    from mlflow.exceptions import MlflowException

    found = store.get_experiment_by_name(name)
    if found is None:
        try:
            return str(store.create_experiment(name, artifact_location=artifact_location(name)))
        except MlflowException:
            found = store.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)
