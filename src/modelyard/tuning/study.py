"""The Optuna study behind the tuning stage: its name, its storage, and generations of trials.

A trial depends only on the trials of earlier generations. This makes a study bit-for-bit reproducible whatever the
timing of its workers, and a killed or damaged study can be resumed with the same result.
"""

from __future__ import annotations

import inspect
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from modelyard.errors import ConfigurationError
from modelyard.files import sha256_of_directory, sha256_of_file
from modelyard.lineage.table_digest import table_digest
from modelyard.tuning.worker import Outcome, quiet_optuna

if TYPE_CHECKING:
    import optuna
    import polars as pl
    from optuna.trial import FrozenTrial
    from pydantic import BaseModel

    from modelyard.project import Project
    from modelyard.tuning.search import SearchSettings

logger = logging.getLogger(__name__)

_NOT_IN_NAME = {"n_trials", "refit", "timeout_s"}  # changing these continues the same study


def study_name(
    project: Project,
    learning: pl.DataFrame,
    trained_model: Any,
    valid: Mapping[str, float],
    settings: SearchSettings,
    folder: Path,
) -> str:
    """Returns ``<project>-<digest>``, with a digest of all that a trial's result depends on.

    The digest covers the project's modules and the one of its search space, which may be shared. The trained model's
    bytes and scores represent the training loop and the libraries: a change there starts a new study only if it changes
    the trained model.

    Args:
        project: The project.
        learning: Rows of ``train`` and ``valid``.
        trained_model: The model of the train stage.
        valid: Its metrics on validation rows.
        settings: The settings of the search.
        folder: An existing folder, in which the trained model is written temporarily.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".digest-") as temporary:
        project.model_format.save(trained_model, Path(temporary))
        model_digest = sha256_of_directory(Path(temporary))
    space = Path(inspect.getfile(project.search_space))
    modules = sorted({*Path(inspect.getfile(project.fit)).parent.glob("*.py"), space})
    content = {
        "examples": table_digest(learning),
        "model": model_digest,
        "valid": dict(valid),
        "code": [[module.name, sha256_of_file(module)] for module in modules],
        "fit": settings.fit_params.model_dump(mode="json"),
        "score": settings.score_params.model_dump(mode="json"),
        "tune": settings.tune_params.model_dump(mode="json", exclude=_NOT_IN_NAME),
        "seed": settings.seed,
        "device": settings.device,
        "precision": settings.precision,
        "optuna": version("optuna"),
    }
    return f"{project.name}-{sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class StoredStudy:
    """A study and its storage."""

    study: optuna.Study
    storage: optuna.storages.BaseStorage

    def trials(self, before: int) -> list[FrozenTrial]:
        """Returns the trials whose number is below ``before``."""
        return self.study.get_trials(deepcopy=False)[:before]

    def tell(self, number: int, outcome: Outcome) -> None:
        """Writes how trial ``number`` ended; the state is written last, so that after a kill all is written again."""
        from optuna.trial import TrialState

        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
        for step, value in outcome.reports:
            self.storage.set_trial_intermediate_value(trial_id, int(step), value)
        for key, content in _attributes(outcome).items():
            self.storage.set_trial_user_attr(trial_id, key, content)
        self.study.tell(number, outcome.value, TrialState[outcome.state])


def _attributes(outcome: Outcome) -> dict[str, Any]:
    attributes = {
        "metrics": outcome.metrics,
        "reason": outcome.reason,
        "seconds": round(outcome.seconds, 3),
    }
    return {key: content for key, content in attributes.items() if content}


def open_study(name: str, *, url: str, journal: Path, greater_is_better: bool) -> StoredStudy:
    """Opens the study ``name``, or creates it.

    Args:
        name: See :func:`study_name`.
        url: Database URL; empty: the journal file.
        journal: The journal file. The caller holds a lock that keeps other processes from writing it.
        greater_is_better: Direction of the metric.

    Raises:
        ConfigurationError: The database cannot be reached.
    """
    import optuna

    quiet_optuna()
    storage = _open_database(url) if url else _open_journal(journal)
    study = optuna.create_study(
        study_name=name, storage=storage, direction=_direction(greater_is_better), load_if_exists=True
    )
    return StoredStudy(study, storage)


def _open_journal(path: Path) -> optuna.storages.BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path.parent.mkdir(parents=True, exist_ok=True)
    # Exclusive creation is atomic on NFS since version 3, where SQLite's and flock's locks may not be. The only writer
    # is this process (the caller holds a lock), so a lock file found here was left by a killed process.
    Path(f"{path}.lock").unlink(missing_ok=True)
    mend_journal(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))


def mend_journal(path: Path) -> None:
    """Truncates a journal after its last intact line; the original is kept as ``<name>.damaged``.

    A crash during a write leaves an incomplete line, with which Optuna cannot open the study. The trials that are cut
    off are run again with the same result.
    """
    if not path.exists():
        return
    content = path.read_bytes()
    sound = 0
    for line in content.splitlines(keepends=True):
        if not (line.endswith(b"\n") and _is_entry(line)):
            break
        sound += len(line)
    if sound < len(content):
        shutil.copyfile(path, path.with_name(f"{path.name}.damaged"))
        with path.open("rb+") as file:
            file.truncate(sound)
        logger.warning("%s was damaged by a crash: %d bytes cut off, the copy kept", path, len(content) - sound)


def _is_entry(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and "op_code" in entry


def _open_database(url: str) -> optuna.storages.BaseStorage:
    import optuna
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return optuna.storages.get_storage(url)
    except (ImportError, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        try:
            where = make_url(url).render_as_string(hide_password=True)
        except SQLAlchemyError:
            where = "MODELYARD_OPTUNA_STORAGE"
        raise ConfigurationError(
            f"The tuning database cannot be used: {type(error).__name__}.",
            where=where,
            way_out="check the server and its driver, or unset MODELYARD_OPTUNA_STORAGE to use a local journal file",
        ) from error


def _direction(greater_is_better: bool) -> Literal["maximize", "minimize"]:
    return "maximize" if greater_is_better else "minimize"


def generations(n_trials: int, size: int) -> list[range]:
    """Returns the trial numbers 1 to ``n_trials - 1``, ``size`` at a time; trial 0 is the trained model."""
    return [range(start, min(start + size, n_trials)) for start in range(1, n_trials, size)]


def sample_generation(
    project: Project,
    fit_params: BaseModel,
    history: Sequence[FrozenTrial],
    *,
    size: int,
    seed: int,
    n_random_trials: int,
) -> list[FrozenTrial]:
    """Returns parameters of the next ``size`` trials, from finished trials alone (tree-structured Parzen estimator).

    They are sampled in an in-memory study, so that each trial reaches the storage complete, in one write.
    """
    import optuna

    quiet_optuna()
    # Optuna's seeds are 32 bit wide.
    sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=n_random_trials)
    study = optuna.create_study(sampler=sampler, direction=_direction(project.metrics.greater_is_better))
    study.add_trials(history)
    for _ in range(size):
        project.search_space(study.ask(), fit_params)
    return study.get_trials(deepcopy=False)[len(history) :]


def configured_suggestions(
    project: Project, fit_params: BaseModel
) -> tuple[dict[str, Any], dict[str, optuna.distributions.BaseDistribution]]:
    """Returns the configured parameters as suggestions, with their distributions; empty if that is not possible.

    A suggestion takes the configured value if it is named after the field that it sets (``depth``, ``network.depth``).
    The result is checked: with these suggestions the search space must return the configured parameters.
    """
    import optuna

    trial = optuna.trial.FixedTrial(_flat(fit_params.model_dump()))
    try:
        with warnings.catch_warnings(action="ignore"):  # create_trial reports a value outside its range
            suggested = project.search_space(cast("optuna.Trial", trial), fit_params)
        optuna.trial.create_trial(value=0.0, params=trial.params, distributions=trial.distributions)
    except ValueError as error:  # no such field, or the configured value lies outside of the search space
        logger.info("the search does not learn from the configured parameters: %s", error)
        return {}, {}
    return (trial.params, trial.distributions) if suggested == fit_params else ({}, {})


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat = {**_flat(value, f"{prefix}{name}."), **flat}
        else:
            flat |= {f"{prefix}{name}": value}
            flat.setdefault(name, value)
    return flat
