"""What the gallery says of each project: from the registry's tags and the data folder, and never in the page's way.

Everything here runs in a thread and is kept for a moment. What cannot be read is left out: a gallery with a gap is
better than none.
"""

import json
import logging
import math
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from modelyard.errors import ModelyardError
from modelyard.model_registry.aliases import Aliases, Candidate, RegistryView
from modelyard.model_registry.registration import DATASET_TAG
from modelyard.model_registry.versions import CHALLENGER, CHAMPION
from modelyard.paths import reporting_folder, verdicts_folder
from modelyard.play.responses import Alias, Gallery, GalleryEntry, MetricValue, PublishedValue
from modelyard.public_data.catalogue import best_published

if TYPE_CHECKING:
    from modelyard.project import Project

logger = logging.getLogger(__name__)

_KEPT_S = 2.0
_TAGS_KEPT_S = 60.0
"""A version's tags hardly ever change."""

_MOST_PUBLISHED = 5


class _Known(NamedTuple):
    """What the registry says of all projects at one moment."""

    aliases: Aliases
    versions: Mapping[str, list[str]]


class GalleryView:
    """The gallery of some projects; thread-safe.

    Args:
        projects: Name to record.
        registry: None: nothing was trained.
    """

    def __init__(self, projects: "Mapping[str, Project]", registry: RegistryView | None) -> None:
        self._projects, self._registry = projects, registry
        self._lock = threading.Lock()
        self._known: tuple[float, _Known] | None = None
        self._candidates: dict[tuple[str, str], tuple[float, Candidate]] = {}
        self._pictures: dict[str, tuple[str, bytes]] = {}
        """Project to a version and its picture."""

    def gallery(self, serving: Mapping[str, str]) -> Gallery:
        """Returns an entry for each project, in the order of their names.

        Args:
            serving: Project to the version that serves it; the registry may wish for another one by now.
        """
        with self._lock:
            return Gallery(projects=[self._entry(name, serving.get(name)) for name in sorted(self._projects)])

    def picture(self, name: str, serving: str | None) -> tuple[str, bytes] | None:
        """Returns the version that answers and the PNG of its figure, or None where there is no such file.

        Args:
            name: Of the project.
            serving: The version that serves it, if any.
        """
        play = self._projects[name].play
        with self._lock:
            candidate, _ = self._answering(name, serving)
        if play is None or candidate is None:
            return None
        kept = self._pictures.get(name)
        if kept is not None and kept[0] == candidate.version:
            return kept
        found = _figure(candidate, f"{play.picture}.png")
        if found is not None:
            self._pictures[name] = (candidate.version, found)
        return None if found is None else self._pictures[name]

    def _entry(self, name: str, serving: str | None) -> GalleryEntry:
        project = self._projects[name]
        candidate, alias = self._answering(name, serving)
        tags = candidate.tags if candidate else {}
        gate = tags.get("gate")
        return GalleryEntry(
            project=name,
            title=project.title,
            question=project.play.question if project.play else "",
            has_page=project.play is not None,
            version=candidate.version if candidate else None,
            alias=alias if candidate else None,
            gate=gate if gate in ("passed", "failed") else None,
            metric=_metric(project, tags),
            published=_published(project, tags),
            drift=_drift(name, candidate.version) if candidate else "unknown",
            trained_at=candidate.created_at if candidate else None,
            picture=f"/v1/{name}/play/picture" if candidate and project.play else None,
            data=_data(tags),
            command=f"kedro run --pipeline={name}",
        )

    def _answering(self, name: str, serving: str | None) -> tuple[Candidate | None, Alias]:
        """The version that would answer now, and why; None where there is none, or the registry cannot be read."""
        known = self._registry_now()
        champion = serving or known.aliases.get((name, CHAMPION))
        challenger, versions = known.aliases.get((name, CHALLENGER)), known.versions.get(name, [])
        if champion:
            return self._candidate(name, champion), "champion"
        if challenger:
            return self._candidate(name, challenger), "challenger"
        return (self._candidate(name, versions[0]) if versions else None), "latest"

    def _registry_now(self) -> _Known:
        now = time.monotonic()
        if self._known is None or now - self._known[0] > _KEPT_S:
            try:
                registry = self._registry
                found = _Known(registry.aliases(), registry.versions()) if registry else _Known({}, {})
            except Exception as error:  # whatever the registry meets: what was known is shown on
                logger.info("the gallery cannot read the registry: %s", _told(error))
                found = self._known[1] if self._known else _Known({}, {})
            self._known = (now, found)
        return self._known[1]

    def _candidate(self, name: str, version: str) -> Candidate | None:
        now, kept = time.monotonic(), self._candidates.get((name, version))
        if kept is not None and now - kept[0] < _TAGS_KEPT_S:
            return kept[1]
        try:
            found = self._registry.candidate(name, version) if self._registry else None
        except Exception as error:  # as above
            logger.info("the gallery cannot read %s version %s: %s", name, version, _told(error))
            found = kept[1] if kept else None
        if found is not None:
            self._candidates[name, version] = (now, found)
        return found


def _told(error: Exception) -> str:
    return error.found if isinstance(error, ModelyardError) else type(error).__name__


def _metric(project: "Project", tags: Mapping[str, str]) -> MetricValue | None:
    name = project.metrics.primary
    value = _number(tags.get(name))
    if value is None:
        return None
    low, _, high = tags.get(f"{name}_interval", "").partition(" to ")
    return MetricValue(
        name=name,
        value=value,
        low=_number(low),
        high=_number(high),
        floor=_number(tags.get(f"{name}_floor")),
        greater_is_better=project.metrics.greater_is_better,
        meaning=project.play.meaning if project.play else "",
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _published(project: "Project", tags: Mapping[str, str]) -> list[PublishedValue]:
    """The best published results in the primary metric, on the data that the version learnt from."""
    dataset, metrics = tags.get(DATASET_TAG, ""), project.metrics
    if not dataset:
        return []
    try:
        found = best_published(
            dataset, metrics.primary, greater_is_better=metrics.greater_is_better, most=_MOST_PUBLISHED
        )
    except ModelyardError as error:
        logger.info("the gallery cannot read the published results: %s", error.found)
        return []
    return [
        PublishedValue(
            name=one.method,
            value=value,
            source=one.source + (" (not read again there)" if one.evidence == "memory" else ""),
        )
        for one, value in found
    ]


def _data(tags: Mapping[str, str]) -> str | None:
    source, dataset = tags.get("source"), tags.get(DATASET_TAG)
    return f"{source}: {dataset}" if source and dataset else source or None


def _drift(name: str, version: str) -> Literal["none", "warning", "drifted", "unknown"]:
    """What monitoring said last, if it was about this version."""
    try:
        verdict = json.loads((verdicts_folder(name) / "latest.json").read_text(encoding="utf-8"))
        if str(verdict["model_version"]) != version or not verdict["is_tested"]:
            return "unknown"
        return "drifted" if verdict["is_drifted"] else "warning" if verdict["alarms"] else "none"
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"


def _figure(candidate: Candidate, file: str) -> bytes | None:
    """A figure of the run that made a version: from its artifacts, or from the data folder if no run came after it."""
    parts, inside = urlsplit(candidate.artifacts), f"reports/figures/{file}"
    places = [Path(unquote(parts.path)) / inside] if candidate.artifacts and parts.scheme in ("", "file") else []
    if _latest_here(candidate.project) == candidate.version:
        places.append(reporting_folder(candidate.project) / "figures" / file)
    for place in places:
        try:
            return place.read_bytes()
        except OSError:
            continue
    return None if parts.scheme in ("", "file") and candidate.artifacts else _downloaded(candidate, inside)


def _latest_here(name: str) -> str | None:
    try:
        return str(json.loads((reporting_folder(name) / "metrics.json").read_text())["model_version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _downloaded(candidate: Candidate, inside: str) -> bytes | None:
    if not candidate.run_id:
        return None
    from modelyard.tracking.mlflow_store import download_artifact

    with tempfile.TemporaryDirectory() as temporary:
        try:
            return download_artifact(candidate.run_id, inside, Path(temporary)).read_bytes()
        except Exception as error:  # whatever the store meets: the gallery has no picture there
            logger.info("a picture of %s cannot be fetched: %s", candidate.project, type(error).__name__)
            return None
