"""Who answers on the page where a project has no champion: the challenger, else the latest version that loads.

It is loaded when somebody asks, in a thread, and only then; what it answers is no traffic of a champion. A version
whose gate failed may stand in: people look at what they have trained, and the page says which version it is.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from modelyard.errors import StorageError
from modelyard.model_registry.aliases import Candidate, RegistryView
from modelyard.model_registry.versions import CHALLENGER
from modelyard.play.responses import Alias
from modelyard.serving.follower import in_thread
from modelyard.serving.loaded_version import LoadedVersion, RefusalError, load_working
from modelyard.serving.service import NotServingError

if TYPE_CHECKING:
    from modelyard.serving.service import ProjectService

logger = logging.getLogger(__name__)

_LOOK_AGAIN_S = 2.0
_TRY_AGAIN_S = 60.0
"""After so long a version that was refused is tried once more."""

_MOST_TRIED = 5
"""Versions that are looked at; beyond these a project has other troubles than its page."""


class Answering(NamedTuple):
    """Who answers on the page.

    Args:
        version: In place of the champion; None: the champion itself.
        alias: Why it answers.
    """

    version: LoadedVersion | None
    alias: Alias


class StandIn:
    """Finds and loads the version that stands in for one project's champion.

    Args:
        service: Of the project.
        registry: None: only what the service has loaded can answer.
    """

    def __init__(self, service: "ProjectService", registry: RegistryView | None) -> None:
        self._service, self._registry = service, registry
        self._alias: Alias = "latest"
        self._looked_at = float("-inf")
        self._refused: dict[tuple[str, str], float] = {}
        self._search: asyncio.Task[Answering] | None = None

    async def answering(self) -> Answering:
        """Returns the champion if there is one, else who stands in for it.

        Raises:
            NotServingError: No version was registered, or none of the latest loads.
            StorageError: The registry cannot be read.
        """
        service = self._service
        if service.champion is not None:
            return Answering(None, "champion")
        if service.stand_in is not None and time.monotonic() - self._looked_at < _LOOK_AGAIN_S:
            return Answering(service.stand_in, self._alias)
        if self._search is None or self._search.done():
            self._search = asyncio.get_running_loop().create_task(self._found())
            # Where everybody has left by then, nobody hears of its failure.
            self._search.add_done_callback(lambda search: search.cancelled() or search.exception())
        try:
            # Whoever leaves does not end the load that others wait for.
            return await asyncio.shield(self._search)
        except StorageError:
            if service.stand_in is None:
                raise
            return Answering(service.stand_in, self._alias)

    async def _found(self) -> Answering:
        service = self._service
        why = f"No version of {service.project.name} was registered yet."
        for alias, number in await self._wished():
            candidate = await in_thread(self._candidate, number)
            if service.stand_in is not None and service.stand_in.identity == candidate.identity:
                return self._chosen(service.stand_in, alias)
            if time.monotonic() < self._refused.get(candidate.identity, 0):
                continue
            try:
                return self._chosen(await self._loaded(candidate), alias)
            except RefusalError as refusal:
                why = f"Version {number} of {service.project.name} cannot answer: {refusal.found}"
                self._refused[candidate.identity] = time.monotonic() + _TRY_AGAIN_S
                logger.warning("no stand-in: %s", refusal.found, extra={"project": service.project.name})
        service.stand_in = None
        raise NotServingError(
            why,
            where=f"project {service.project.name}",
            way_out=f"kedro run --pipeline={service.project.name}",
        )

    def _chosen(self, version: LoadedVersion, alias: Alias) -> Answering:
        self._looked_at, self._alias = time.monotonic(), alias
        if self._service.champion is not None:  # it came meanwhile
            return Answering(None, "champion")
        self._service.stand_in = version
        return Answering(version, alias)

    async def _wished(self) -> list[tuple[Alias, str]]:
        """Versions in the order in which they are tried, with why."""
        if self._registry is None:
            return []
        name = self._service.project.name
        aliases, versions = await in_thread(self._registry.aliases), await in_thread(self._registry.versions)
        challenger = aliases.get((name, CHALLENGER))
        wished: list[tuple[Alias, str]] = [("challenger", challenger)] if challenger else []
        wished += [("latest", number) for number in versions.get(name, []) if number != challenger]
        return wished[:_MOST_TRIED]

    def _candidate(self, number: str) -> Candidate:
        if self._registry is None:
            raise StorageError("There is no registry.")
        return self._registry.candidate(self._service.project.name, number)

    async def _loaded(self, candidate: Candidate) -> LoadedVersion:
        service = self._service
        if service.challenger is not None and service.challenger.identity == candidate.identity:
            return service.challenger
        timeout_s = service.settings.load_timeout_s
        try:
            return await in_thread(load_working, service.project, candidate, timeout_s=timeout_s)
        except TimeoutError:
            raise RefusalError("files", f"It was not loaded after {timeout_s:g} s.") from None
