"""Follows the registry's aliases: a version that is promoted is loaded beside the old one and takes over when it works.

Nothing here can stop the old version from serving, except a person who takes the alias away.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from modelyard.errors import ModelyardError
from modelyard.model_registry.aliases import Aliases, Candidate, RegistryView
from modelyard.model_registry.versions import CHALLENGER, CHAMPION
from modelyard.serving.loaded_version import LoadedVersion, RefusalError, check_tags, load_checked
from modelyard.serving.worker_thread import WorkerThread

if TYPE_CHECKING:
    from modelyard.serving.metrics import Metrics
    from modelyard.serving.service import ProjectService

_Result = TypeVar("_Result")

logger = logging.getLogger(__name__)

ROLLED_BACK_TAG = "modelyard.canary"
"""Set on a version whose canary was rolled back; the value is the reason. Every server heeds it."""

_KEPT_VERSIONS = 4
_LOADS_AT_ONCE = 4
_LOAD_TURN_S = 20.0
"""After so long a load no longer counts among those at once: loads that hang must not hold up other projects."""

_FIRST_RETRY_S, _LAST_RETRY_S = 5.0, 300.0
_ALIAS_GRACE_S = 3.0
"""How long an alias must be gone before serving ends: MLflow's pages may move it in two steps."""

_LOOK_AGAIN_S = 2.0
"""How often the tags of a version in use are read."""


class _Refused(NamedTuple):
    """A version that must not serve: why, and when (monotonic) it is looked at again."""

    reason: str
    found: str
    again_at: float
    wait_s: float


@dataclass
class _Followed:
    """What is remembered of one project between two looks."""

    is_busy: bool = False
    refused: dict[str, "_Refused"] = field(default_factory=dict)
    kept: dict[tuple[str, str], LoadedVersion] = field(default_factory=dict)
    looked_at: dict[str, float] = field(default_factory=dict)
    """Version in use to when its tags were last read."""
    stand_ins: list[str] = field(default_factory=list)
    """Earlier champions that were asked for because the champion was refused."""
    gone_since: float | None = None
    told: set[tuple[str, str]] = field(default_factory=set)
    """Rollbacks that the registry knows."""


class Follower:
    """Looks at the registry every ``poll_s`` seconds.

    Args:
        services: By project.
        registry: The registry.
        metrics: Of the process.
        poll_s: Seconds between two looks.
    """

    def __init__(
        self, services: "Mapping[str, ProjectService]", registry: RegistryView, metrics: "Metrics", poll_s: float
    ) -> None:
        self._services, self._registry, self._metrics, self._poll_s = services, registry, metrics, poll_s
        self._followed = {name: _Followed() for name in services}
        self._may_load = asyncio.Semaphore(_LOADS_AT_ONCE)
        self._poller = WorkerThread("poll")
        self._task: asyncio.Task[None] | None = None
        self._loads: set[asyncio.Task[None]] = set()
        self._is_reachable = True
        self._with_champion = set(services)

    def start(self) -> None:
        """Starts to follow; needs a running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stops; a load under way is not waited for."""
        tasks = [*self._loads, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._poller.close()

    def refusals(self, project: str) -> dict[str, str]:
        """Version to the reason why it must not serve."""
        return {version: one.found for version, one in self._followed[project].refused.items()}

    def with_champion(self) -> set[str]:
        """Projects whose registry named a champion at the last look; all, before the first look."""
        return self._with_champion

    async def _run(self) -> None:
        while True:
            try:
                aliases = await self._poller.run(self._registry.aliases)
                self._say_reachable(None)
                self._with_champion = {name for name, alias in aliases if alias == CHAMPION and name in self._services}
                for name, service in self._services.items():
                    self._follow(name, service, aliases)
            except ModelyardError as error:
                self._say_reachable(error)
            except Exception:  # a bug must not leave the server deaf to promotions
                logger.exception("the registry could not be followed")
            await asyncio.sleep(self._poll_s)

    def _follow(self, name: str, service: "ProjectService", aliases: Aliases) -> None:
        """Starts a load where the registry wishes for something else than what serves."""
        followed = self._followed[name]
        wished = {role: version for role in (CHAMPION, CHALLENGER) if (version := aliases.get((name, role)))}
        for version in [one for one in followed.refused if one not in (*wished.values(), *followed.stand_ins)]:
            del followed.refused[version]  # asked for anew, it is looked at anew
        if not followed.is_busy:
            followed.is_busy = True
            task = asyncio.get_running_loop().create_task(self._bring(name, service, wished))
            self._loads.add(task)
            task.add_done_callback(self._loads.discard)

    async def _bring(self, name: str, service: "ProjectService", wished: Mapping[str, str]) -> None:
        followed = self._followed[name]
        try:
            await self._bring_champion(service, followed, wished.get(CHAMPION))
            await self._bring_challenger(service, followed, wished)
            await self._tell_rollbacks(service, followed)
        except ModelyardError as error:
            self._say_reachable(error)
        except Exception:  # as in _run
            logger.exception("a version could not be brought", extra={"project": name})
        finally:
            followed.is_busy = False

    async def _bring_champion(self, service: "ProjectService", followed: _Followed, version: str | None) -> None:
        if version is None:
            self._without_champion(service, followed)
            return
        followed.gone_since = None
        loaded = await self._wished(service, followed, version, service.champion)
        refusal = followed.refused.get(version)
        if refusal is not None and service.champion is None:
            service.why_not = f"Version {version} of {service.project.name} was refused: {refusal.found}"
            loaded = await self._earlier_champion(service, followed, version)
        if loaded is not None and loaded is not service.champion:
            service.champion, service.stand_in = loaded, None
            self._say_swap(service, CHAMPION, loaded)
        serving = service.champion
        is_degraded = refusal is not None and serving is not None and serving.version != version
        service.degraded = (
            f"Version {version} was refused: {refusal.found} Version {serving.version} answers in its place."
            if is_degraded and refusal and serving
            else ""
        )
        self._metrics.degraded.labels(service.project.name).set(is_degraded)

    async def _earlier_champion(
        self, service: "ProjectService", followed: _Followed, version: str
    ) -> LoadedVersion | None:
        """Returns the latest champion before ``version`` that may serve; None if there is none.

        Only at the start of the server: later the champion that serves goes on.
        """
        history = await in_thread(self._registry.champion_history, service.project.name)
        if version in history:
            history = history[: len(history) - 1 - history[::-1].index(version)]
        followed.stand_ins = list(dict.fromkeys(one for one in reversed(history) if one != version))
        for earlier in followed.stand_ins:
            try:
                loaded = await self._wished(service, followed, earlier, None)
            except ModelyardError as error:  # it was deleted
                logger.info("no stand-in: %s", error.found, extra={"project": service.project.name})
                continue
            if loaded is not None:
                return loaded
        return None

    def _without_champion(self, service: "ProjectService", followed: _Followed) -> None:
        """The alias is gone: after a moment of grace, so is the champion."""
        now = time.monotonic()
        followed.gone_since = followed.gone_since or now
        if service.champion is not None and now - followed.gone_since >= _ALIAS_GRACE_S:
            logger.warning("the alias champion was taken away", extra={"project": service.project.name})
            service.champion, service.degraded = None, ""
            self._metrics.degraded.labels(service.project.name).set(0)
            self._metrics.version.labels(service.project.name, CHAMPION).set(0)
        if service.champion is None:
            service.why_not = f"The registry gives no version of {service.project.name} the alias champion."

    async def _bring_challenger(
        self, service: "ProjectService", followed: _Followed, wished: Mapping[str, str]
    ) -> None:
        """Loads the challenger where it is used, and where it is not the champion itself."""
        settings, version = service.settings, wished.get(CHALLENGER)
        is_used = settings.shadow_share or settings.canary_share
        if not is_used or version is None or version == wished.get(CHAMPION):
            if service.challenger is not None:
                service.challenger = None
                self._metrics.version.labels(service.project.name, CHALLENGER).set(0)
        else:
            loaded = await self._wished(service, followed, version, service.challenger)
            if loaded is not None and loaded is not service.challenger:
                service.challenger = loaded
                self._say_swap(service, CHALLENGER, loaded)
        self._metrics.canary_active.labels(service.project.name).set(service.canary() is not None)

    async def _wished(
        self, service: "ProjectService", followed: _Followed, version: str, current: LoadedVersion | None
    ) -> LoadedVersion | None:
        """The wished version if it may serve; None where it is refused, now or since before."""
        told = followed.refused.get(version)
        if told is not None and time.monotonic() < told.again_at:
            return None
        now = time.monotonic()
        if current is not None and current.version == version and now < followed.looked_at.get(version, 0):
            return current
        followed.looked_at = {version: now + _LOOK_AGAIN_S} | {
            one: at for one, at in followed.looked_at.items() if at > now and one != version
        }
        try:
            candidate = await in_thread(self._registry.candidate, service.project.name, version)
            _heed_tags(service, followed, candidate)
            if current is not None and current.identity == candidate.identity:
                return current
            kept = followed.kept.get(candidate.identity)
            if kept is None:
                kept = await self._load(service, candidate)
            else:
                check_tags(service.project, candidate)
        except RefusalError as refusal:
            self._refuse(service, followed, version, refusal)
            return None
        followed.refused.pop(version, None)
        followed.kept[candidate.identity] = kept
        self._forget(service, followed)
        return kept

    async def _load(self, service: "ProjectService", candidate: Candidate) -> LoadedVersion:
        """Loads in a thread; a load that does not come to an end is a refusal, and its thread is given up."""
        timeout_s = service.settings.load_timeout_s
        await self._may_load.acquire()
        loading = asyncio.ensure_future(in_thread(load_checked, service.project, candidate, timeout_s=timeout_s))
        try:
            await asyncio.wait((loading,), timeout=_LOAD_TURN_S)
        finally:
            self._may_load.release()
        try:
            return await loading
        except TimeoutError:
            raise RefusalError(
                "files",
                f"It was not loaded after {timeout_s:g} s.",
                where=f"{candidate.project} version {candidate.version}",
                way_out="see whether its files are whole, or raise --load-timeout-s",
            ) from None

    def _refuse(self, service: "ProjectService", followed: _Followed, version: str, refusal: RefusalError) -> None:
        """Remembers a refusal; it is looked at again after a while that doubles each time."""
        before = followed.refused.get(version)
        wait_s = min(before.wait_s * 2, _LAST_RETRY_S) if before else _FIRST_RETRY_S
        followed.refused[version] = _Refused(refusal.reason, refusal.found, time.monotonic() + wait_s, wait_s)
        self._metrics.refused.labels(service.project.name, version, refusal.reason).inc()
        if before is None or before.reason != refusal.reason:
            logger.error(
                "version refused: %s",
                refusal.found,
                extra={
                    "project": service.project.name,
                    "version": version,
                    "reason": refusal.reason,
                    "serving": service.champion.version if service.champion else None,
                    "way_out": refusal.way_out,
                },
            )

    def _forget(self, service: "ProjectService", followed: _Followed) -> None:
        """Keeps a few versions in memory, so that a rollback is instant; the oldest go."""
        in_use = [one.identity for one in (service.champion, service.challenger) if one is not None]
        for identity in [one for one in followed.kept if one not in in_use][: -(_KEPT_VERSIONS - 1)]:
            del followed.kept[identity]
        service.forget({*followed.kept, *in_use})

    def _say_swap(self, service: "ProjectService", role: str, loaded: LoadedVersion) -> None:
        self._metrics.version.labels(service.project.name, role).set(float(loaded.version))
        self._metrics.swaps.labels(service.project.name, role, loaded.version).inc()
        logger.info("version serves", extra={"project": service.project.name, "version": loaded.version, "role": role})

    def _say_reachable(self, error: ModelyardError | None) -> None:
        if error is not None and self._is_reachable:
            logger.error("%s; what is loaded goes on serving", error.found, extra={"where": error.where})
        if error is None and not self._is_reachable:
            logger.info("the registry answers again")
        self._is_reachable = error is None
        self._metrics.registry_up.set(self._is_reachable)

    async def _tell_rollbacks(self, service: "ProjectService", followed: _Followed) -> None:
        """Writes a rollback of this process into the registry, for people and for the other servers."""
        for identity, reason in list(service.rolled_back.items()):
            if identity not in followed.told:
                followed.told.add(identity)
                followed.looked_at.pop(identity[0], None)
                is_told = await in_thread(_tag_rollback, service.project.name, identity[0], reason)
                if not is_told:
                    followed.told.discard(identity)


def _heed_tags(service: "ProjectService", followed: _Followed, candidate: Candidate) -> None:
    """Ends a canary that another server has rolled back; lets one go on whose tag a person has removed."""
    identity, reason = candidate.identity, candidate.tags.get(ROLLED_BACK_TAG)
    if reason and identity not in service.rolled_back:
        service.rolled_back[identity] = reason
        followed.told.add(identity)
    elif not reason and identity in followed.told:
        followed.told.discard(identity)
        service.allow_again(identity)


async def in_thread(work: Callable[..., _Result], *arguments: Any, timeout_s: float | None = None) -> _Result:
    """Runs ``work`` in a thread of its own, which neither a hung library nor the process's end has to wait for.

    Raises:
        TimeoutError: It took longer than ``timeout_s``; the thread goes on, and what it returns is dropped.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def settle(result: Any, error: Exception | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(result)

    def run() -> None:
        result, failure = None, None
        try:
            result = work(*arguments)
        except Exception as error:  # raised again where it is awaited
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="load", daemon=True).start()
    async with asyncio.timeout(timeout_s):
        return await done


def _tag_rollback(project: str, version: str, reason: str) -> bool:
    from modelyard.tracking.mlflow_store import client

    try:
        client().set_model_version_tag(project, version, ROLLED_BACK_TAG, reason)
    except Exception:  # the rollback itself holds in this process, whatever the registry answers
        logger.exception("the rollback could not be written to the registry", extra={"project": project})
        return False
    return True


def followed_projects(names: Sequence[str]) -> dict[str, Any]:
    """Records of the projects that can be imported; one that cannot is logged and left out."""
    from modelyard.projects import load_project

    projects: dict[str, Any] = {}
    for name in names:
        try:
            projects[name] = load_project(name)
        except ModelyardError:
            raise
        except Exception:  # one broken project must not keep the others from being served
            logger.exception("a project cannot be imported and is not served", extra={"project": name})
    return projects
