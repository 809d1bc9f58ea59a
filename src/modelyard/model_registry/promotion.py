"""Promotion: moves the alias ``champion``, keeps a history of champions, and rolls back to the previous one."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from modelyard.errors import ConfigurationError, StorageError
from modelyard.model_registry.mlflow_model import FILES_TAG
from modelyard.model_registry.signing import KEY_VARIABLE, check_signature, signed
from modelyard.model_registry.versions import CHAMPION, HISTORY_TAG, check_version_files, version_by_alias

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PROMOTED_TAG = "promoted"
"""Tag of a version: when it was last promoted, and by whom."""

_KEPT = 50


class Promotion(NamedTuple):
    """A change of the champion.

    Args:
        version: The new champion.
        previous: The previous champion; None if there was none.
    """

    version: str
    previous: str | None


def promote(project: str, version: str, *, by: str = "a person", signs: bool = False) -> Promotion:
    """Makes ``version`` the champion; the server follows.

    The history is written before the alias. A kill between the two leaves the old champion and a history whose last
    entry never served; :func:`rollback` and the next promotion detect this by comparing it with the alias.

    Args:
        project: The registered model.
        version: Number of the version.
        by: Who or what promotes; stored in a tag of the version.
        signs: Whether to sign the version, whose files were registered without the key.

    Raises:
        ConfigurationError: The version does not exist, its gate did not pass, or there is no key to sign it with.
        BusyError: Another process has locked MLflow's database for long.
        StorageError: Its files are not those that were registered, it is not signed with the key that is set, or the
            database cannot be written.
    """
    from modelyard.tracking.mlflow_store import client, readable_failures

    with readable_failures():
        store = client()
        _check(_found(store, project, version))
        check_version_files(project, version)
        if signs:
            _sign(store, project, version)
        check_signature(project, version, _found(store, project, version).tags)
        previous = _champion(store, project)
        if previous == version:
            return Promotion(version, previous)
        history = [*_history_to(store, project, previous), version]
        store.set_registered_model_tag(project, HISTORY_TAG, " ".join(history[-_KEPT:]))
        store.set_model_version_tag(project, version, PROMOTED_TAG, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by {by}")
        store.set_registered_model_alias(project, CHAMPION, version)
    return Promotion(version, previous)


def rollback(project: str) -> Promotion:
    """Moves the alias to the previous champion; a second call moves it to the one before that.

    Raises:
        ConfigurationError: The history has no earlier champion that still exists and may serve.
        BusyError: Another process has locked MLflow's database for long.
        StorageError: The database cannot be written.
    """
    from modelyard.tracking.mlflow_store import client, readable_failures

    with readable_failures():
        store = client()
        current = _champion(store, project)
        earlier = [version for version in _history_to(store, project, current) if version != current]
        for version in reversed(earlier):
            if _may_serve(store, project, version):
                store.set_registered_model_alias(project, CHAMPION, version)
                return Promotion(version, current)
    raise ConfigurationError(
        f"No earlier champion of {project} is known that could serve"
        + (f"; version {current} is the champion." if current else ", and there is no champion."),
        where=f"tag {HISTORY_TAG} of the registered model {project}",
        way_out=f"choose one: kedro promote {project} --version N",
    )


def _history_to(store: "MlflowClient", project: str, current: str | None) -> list[str]:
    """Returns the champions up to and including ``current``; later entries were rolled back or never served.

    A champion that was set in the MLflow UI is not in the tag; it is appended.
    """
    history: list[str] = store.get_registered_model(project).tags.get(HISTORY_TAG, "").split()
    if current is None:
        return history
    if current in history:
        return history[: len(history) - history[::-1].index(current)]
    return [*history, current]


def _champion(store: "MlflowClient", project: str) -> str | None:
    found = version_by_alias(store, project, CHAMPION)
    return str(found.version) if found else None


def _found(store: "MlflowClient", project: str, version: str) -> "ModelVersion":
    from mlflow.exceptions import MlflowException

    try:
        return store.get_model_version(project, version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        numbers = sorted(int(one.version) for one in store.search_model_versions(f"name = '{project}'"))
        raise ConfigurationError(
            f"{project} has no version {version}.",
            where="the model registry",
            way_out=f"it has {', '.join(map(str, numbers))}" if numbers else f"kedro run --pipeline={project}",
        ) from error


def _check(version: "ModelVersion") -> None:
    gate = version.tags.get("gate", "")
    if gate == "passed":
        return
    reason = version.tags.get("gate_reason", "")
    raise ConfigurationError(
        f"The gate of {version.name} version {version.version} "
        + (f"failed: {reason}." if gate == "failed" else "has given no verdict."),
        where="tag gate of the version",
        way_out="promote another one, or train a better one; the server would refuse this one, too",
    )


def _sign(store: "MlflowClient", project: str, version: str) -> None:
    """Signs a version whose files are those that its digest is of."""
    digest = _found(store, project, version).tags.get(FILES_TAG, "")
    tags = signed(project, digest) if digest else {}
    if not tags:
        raise ConfigurationError(
            f"Version {version} of {project} was registered without a digest of its files."
            if not digest
            else "There is no key to sign with.",
            where=f"--sign, environment variable {KEY_VARIABLE}",
            way_out="train a new version" if not digest else "set the key that the server has",
        )
    for name, signature in tags.items():
        store.set_model_version_tag(project, version, name, signature)


def _may_serve(store: "MlflowClient", project: str, version: str) -> bool:
    try:
        found = _found(store, project, version)
        _check(found)
        check_version_files(project, version)
        check_signature(project, version, found.tags)
    except (ConfigurationError, StorageError):  # deleted meanwhile, another gate tag, damaged or unsigned files
        return False
    return True
