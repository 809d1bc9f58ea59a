"""What asks for a retraining, read from where it lies: the calendar, the monitor's verdict, the data, the registry."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.files import sha256_of_file
from modelyard.parameters import parameters_of
from modelyard.paths import data_directory, repository
from modelyard.projects import load_project
from modelyard.retraining import history
from modelyard.retraining.decision import Drift, Situation

if TYPE_CHECKING:
    from modelyard.project import Project


def situation(
    name: str, now: datetime, *, options: "tuple[str, str]" = ("", ""), is_running: bool = False
) -> Situation:
    """Everything that the decision depends on; the first call for a project begins to watch it.

    Args:
        name: The project.
        now: The time.
        options: Kedro environment and ``--params`` of the retrainings.
        is_running: Whether a retraining is waiting or under way.
    """
    project = load_project(name)
    digest = data_digest(project, *options)
    known = history.read(name)
    if known.since is None:
        history.write(name, "watched", at=now, data_digest=digest)
        known = history.read(name)
    return Situation(
        now=now,
        due=last_due(project.schedule, now),
        since=known.since or now,
        drift=last_verdict(name),
        champion=champion(name),
        data_digest=digest,
        known_digest=known.known_digest,
        handled=known.handled,
        starts=known.starts,
        is_running=is_running,
    )


def last_due(cron: str, now: datetime) -> datetime:
    """The last time (UTC) up to ``now`` at which ``cron`` was due."""
    # The cron reader that Dagster's own schedules use; it has no public name.
    from dagster._utils.schedules import reverse_cron_string_iterator

    return next(reverse_cron_string_iterator(now.timestamp(), cron, "UTC")).astimezone(UTC)


def last_verdict(project: str) -> Drift | None:
    """What ``kedro monitor`` found last; None where it has not run. It writes the file whole or not at all."""
    path = data_directory() / "08_reporting" / project / "monitoring" / "latest.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    window = document["window"]
    return Drift(
        model_version=str(document["model_version"]),
        window=f"{window['since'][:19]} to {window['until'][:19]}",
        is_drifted=bool(document["is_drifted"] or (document.get("performance") or {}).get("is_worse")),
        alarms=tuple(_told(alarm) for alarm in document.get("alarms", ())),
    )


def champion(project: str) -> str | None:
    """The version with the alias ``champion``."""
    from modelyard.model_registry.aliases import RegistryView
    from modelyard.model_registry.versions import CHAMPION

    return RegistryView().aliases().get((project, CHAMPION))


def data_digest(project: "Project", environment: str = "", params: str = "") -> str | None:
    """Identifies the version of the data that a retraining would read.

    Returns:
        Own data: over the names and bytes of the files. Public data: of the entry in ``dvc.lock``, or over the files
        that were fetched. None: simulated data, which have no versions, or nothing is there yet.
    """
    from pydantic import ValidationError

    try:
        ingest = _ingest_parameters(project, environment, params)
    except ValidationError:  # the run says what is wrong, with the way out; no sensor should fail for it
        return None
    if ingest.source == "own" and ingest.path:
        return _digest_of(Path(ingest.path))
    if ingest.source == "public":
        return _digest_in_dvc_lock(ingest.dataset) or _digest_of(data_directory() / "01_raw" / ingest.dataset)
    return None


def _ingest_parameters(project: "Project", environment: str, params: str) -> Any:
    from kedro.config import OmegaConfigLoader
    from omegaconf import OmegaConf

    from modelyard.settings import CONFIG_LOADER_ARGS

    # As `kedro run --params` reads them.
    given: Any = OmegaConf.to_container(OmegaConf.from_dotlist(params.split(","))) if params else None
    loader = OmegaConfigLoader(
        conf_source=str(repository() / "conf"),
        env=environment or None,
        runtime_params=given,
        **CONFIG_LOADER_ARGS,  # type: ignore[arg-type]  # one dictionary of different types
    )
    values = loader["parameters"].get(project.name, {}).get("ingest", {})
    return parameters_of(project.ingest).model_validate(values)


def _digest_of(path: Path) -> str | None:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    files = [file for file in files if file.exists()]
    if not files:
        return None
    lines = [f"{file.relative_to(path.parent).as_posix()} {_digest_of_file(file)}" for file in files]
    return sha256("\n".join(lines).encode()).hexdigest()


_DIGESTS: dict[tuple[str, int, int], str] = {}


def _digest_of_file(file: Path) -> str:
    """A sensor looks twice a minute: bytes are read again only when the file's size or time has changed."""
    stat = file.stat()
    key = (str(file), stat.st_size, stat.st_mtime_ns)
    if key not in _DIGESTS:
        _DIGESTS[key] = sha256_of_file(file)
    return _DIGESTS[key]


def _digest_in_dvc_lock(dataset: str) -> str | None:
    import yaml

    path = repository() / "dvc.lock"
    if not path.exists():
        return None
    stages = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("stages", {})
    outs = stages.get(f"fetch@{dataset}", {}).get("outs", [])
    return next((str(out["md5"]) for out in outs if "md5" in out), None)


def _told(alarm: Any) -> str:
    """An alarm's name: the monitor's alarms are words or objects that have one."""
    if isinstance(alarm, dict):
        return str(alarm.get("column") or alarm.get("name") or alarm.get("kind") or next(iter(alarm.values()), "alarm"))
    return str(alarm)
