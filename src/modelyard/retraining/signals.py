"""Reads the signals that a retraining depends on: calendar, monitoring verdict, data and registry.

Sensors read them twice a minute for every project. Therefore one query to the registry serves all projects, and
configuration, locks and digests are read again only when their files have changed.
"""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.files import sha256_of_file
from modelyard.parameters import parameters_of
from modelyard.paths import data_directory, repository, verdicts_folder
from modelyard.projects import load_project
from modelyard.retraining import history
from modelyard.retraining.decision import Drift, Situation
from modelyard.retraining.due_times import last_due, with_jitter

if TYPE_CHECKING:
    from modelyard.project import Project

logger = logging.getLogger(__name__)

Stamp = tuple[tuple[str, int, int], ...]
"""Name, size and time of change of files; equal as long as nobody has written to them."""


def situations(
    names: Iterable[str],
    now: datetime,
    *,
    options: tuple[str, str] = ("", ""),
    running: Collection[str] = frozenset(),
) -> dict[str, Situation]:
    """Returns, for each project, everything that the decision depends on; the first call for a project records it.

    A project whose files cannot be read is logged and left out; it does not affect the others.

    Args:
        names: The projects.
        now: The time.
        options: Kedro environment and ``--params`` of the retrainings.
        running: The projects with a retraining that is queued or running.
    """
    serving, configured, found = champions(), _configured(*options), {}
    for name in names:
        try:
            project = _record(name)
            digest = data_digest(project, configured.get(name) or {})
            found[name] = _situation(project, now, digest, serving.get(name), is_running=name in running)
        except Exception:  # whatever stands in a project's modules or lies in its folders
            logger.exception("the signals of %s cannot be read", name)
    return found


def champions() -> dict[str, str]:
    """Returns the version with the alias ``champion``, by project."""
    from modelyard.model_registry.aliases import RegistryView
    from modelyard.model_registry.versions import CHAMPION

    return {name: version for (name, alias), version in RegistryView().aliases().items() if alias == CHAMPION}


def last_verdict(project: str) -> Drift | None:
    """Returns the latest verdict of ``kedro monitor``, whose file is always complete; None: there is none yet."""
    path = verdicts_folder(project) / "latest.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    window = document["window"]
    return Drift(
        model_version=str(document["model_version"]),
        window=f"{window['since'][:19]} to {window['until'][:19]}",
        is_drifted=bool(document["is_drifted"] or (document.get("performance") or {}).get("is_worse")),
        alarms=tuple(document["alarms"]),
    )


def data_digest(project: "Project", configured: Mapping[str, Any]) -> str | None:
    """Returns a digest of the data that a retraining would read.

    For own data it covers names and bytes of the files; for public data it is that of the entry in ``conf/dvc.lock``,
    or covers the fetched files. It is None for simulated data, which have no versions, and where there are no files.

    Args:
        project: The project.
        configured: Its parameters, by group.
    """
    from pydantic import ValidationError

    try:
        ingest: Any = parameters_of(project.ingest).model_validate(configured.get("ingest") or {})
    except ValidationError:  # the run reports it with a way out; a sensor should not fail
        return None
    if ingest.source == "own" and ingest.path:
        return _digest_of(Path(ingest.path))
    if ingest.source == "public":
        return _locked().get(ingest.dataset) or _digest_of(data_directory() / "01_raw" / ingest.dataset)
    return None


@cache
def _record(name: str) -> "Project":
    return load_project(name)


def _situation(
    project: "Project", now: datetime, digest: str | None, champion: str | None, *, is_running: bool
) -> Situation:
    known = history.read(project.name)
    if known.since is None:
        history.write(project.name, "watched", at=now, data_digest=digest)
        known = history.read(project.name)
    return Situation(
        now=now,
        due=last_due(with_jitter(project.schedule, project.name), now),
        since=known.since or now,
        drift=last_verdict(project.name),
        champion=champion,
        data_digest=digest,
        known_digest=known.known_digest,
        handled=known.handled,
        starts=known.starts,
        is_running=is_running,
    )


_CONFIGURED: dict[tuple[str, str], tuple[Stamp, dict[str, Any]]] = {}


def _configured(environment: str, params: str) -> dict[str, Any]:
    """Returns the parameters of all projects, as Kedro reads them."""
    conf = repository() / "conf"
    folders = [conf / "base", conf / (environment or "local")]
    stamp = _stamp(file for folder in folders for file in sorted(folder.rglob("parameters*")))
    known = _CONFIGURED.get((environment, params))
    if known is None or known[0] != stamp:
        known = _CONFIGURED[environment, params] = stamp, _read_parameters(environment, params)
    return known[1]


def _read_parameters(environment: str, params: str) -> dict[str, Any]:
    from kedro.config import OmegaConfigLoader
    from omegaconf import OmegaConf

    from modelyard.settings import CONFIG_LOADER_ARGS

    # As `kedro run --params` reads them.
    given: Any = OmegaConf.to_container(OmegaConf.from_dotlist(params.split(","))) if params else None
    settings: Any = CONFIG_LOADER_ARGS
    conf = str(repository() / "conf")
    loader = OmegaConfigLoader(conf_source=conf, env=environment or None, runtime_params=given, **settings)
    found: dict[str, Any] = loader["parameters"]
    return found


_LOCKED: dict[Stamp, Mapping[str, str]] = {}


def _locked() -> Mapping[str, str]:
    """Returns the digest of each public data set that ``conf/dvc.lock`` holds."""
    path = repository() / "conf" / "dvc.lock"
    stamp = _stamp([path] if path.exists() else [])
    known = _LOCKED.get(stamp)
    if known is None:
        import yaml

        stages = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("stages", {}) if stamp else {}
        known = {
            name.removeprefix("fetch@"): str(out["md5"])
            for name, stage in stages.items()
            for out in stage.get("outs", [])
            if "md5" in out
        }
        _LOCKED.clear()  # another thread may be here as well, so what is returned is not read from it again
        _LOCKED[stamp] = known
    return known


def _digest_of(path: Path) -> str | None:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    files = [file for file in files if file.exists()]
    if not files:
        return None
    lines = [f"{file.relative_to(path.parent).as_posix()} {_digest_of_file(file)}" for file in files]
    return sha256("\n".join(lines).encode()).hexdigest()


_DIGESTS: dict[Stamp, str] = {}


def _digest_of_file(file: Path) -> str:
    """Returns a file's digest; reads it again only when its size or time of change differs."""
    stamp = _stamp([file])
    if stamp not in _DIGESTS:
        _DIGESTS[stamp] = sha256_of_file(file)
    return _DIGESTS[stamp]


def _stamp(files: Iterable[Path]) -> Stamp:
    return tuple((str(file), stat.st_size, stat.st_mtime_ns) for file in files for stat in [file.stat()])
