"""One project behind the server: which version answers whom, and what becomes of each answer."""

import asyncio
import logging
import random
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from modelyard.errors import DataContractError, ModelyardError
from modelyard.serving.batching import Batcher, Job, QueueFullError
from modelyard.serving.canary import CanaryPolicy, Watch, is_chosen, reason_to_roll_back
from modelyard.serving.loaded_version import Answered, LoadedVersion
from modelyard.serving.request_log import Entry, Logged, RequestLog
from modelyard.serving.shadow import Shadow
from modelyard.serving.streams import Stream

if TYPE_CHECKING:
    from modelyard.project import Project
    from modelyard.serving.metrics import Metrics
    from modelyard.serving.server_settings import ServingSettings

logger = logging.getLogger(__name__)


class NotServingError(ModelyardError):
    """The project has no version that may answer."""


class Answer(NamedTuple):
    """What one HTTP request gets.

    Args:
        version: That answered all of its rows.
        payloads: JSON of the responses.
    """

    version: str
    payloads: list[bytes]


class ProjectService:
    """Serves one project.

    The two versions are plain attributes: the follower replaces them by one assignment, and a batch reads each of them
    once, so no request can meet two versions.

    Args:
        project: The project's record.
        settings: Of the server.
        metrics: Of the process.
        log: Where answers go.
        policy: When a canary ends.
    """

    def __init__(
        self,
        project: "Project",
        settings: "ServingSettings",
        metrics: "Metrics",
        log: RequestLog,
        policy: CanaryPolicy | None = None,
    ) -> None:
        self.project, self.settings, self.metrics, self.log = project, settings, metrics, log
        self.policy = policy or CanaryPolicy()
        self.timeout_s = project.api.timeout_s or settings.timeout_s
        self.max_rows = project.api.max_rows or settings.max_rows
        self.champion: LoadedVersion | None = None
        self.challenger: LoadedVersion | None = None
        self.why_not = f"The registry gives no version of {project.name} the alias champion."
        self.rolled_back: dict[tuple[str, str], str] = {}
        self.shadow = Shadow(project.name, metrics, self._log_shadow)
        self._watches: dict[tuple[str, str], Watch] = {}
        self._timers: dict[str, Any] = {}
        self._batcher = Batcher(
            self._work,
            # What is too much for one request of this project is too much for one batch.
            max_rows=min(settings.max_batch_rows, project.api.max_rows or settings.max_batch_rows),
            max_wait_s=settings.max_wait_ms / 1000,
            queue_rows=max(settings.queue_rows, self.max_rows),
            name=f"predict-{project.name}",
        )
        fields = project.api.request.model_fields
        keys = (project.contract.group, *(view.entity for view in project.feature_views), project.contract.key)
        self._key_field = next((key for key in keys if key and key in fields), None)
        self._n_streams = 0
        self._streams_gauge = metrics.streams.labels(project.name)
        self._queue_gauge = metrics.queue_rows.labels(project.name)
        self._batch_rows = metrics.batch_rows.labels(project.name)

    def start(self) -> None:
        """Starts to answer; needs a running loop."""
        self._batcher.start()

    async def close(self) -> None:
        """Answers what is queued, finishes the shadow and seals the log."""
        await self._batcher.close()
        await asyncio.to_thread(self.shadow.close)
        await asyncio.to_thread(self.log.close)

    async def answer(self, requests: Sequence[Any], request_id: str, features_as_of: Any = None) -> Answer:
        """The responses to ``requests``, all from one version.

        Raises:
            NotServingError: There is no champion.
            QueueFullError: Too many rows wait.
            TimeoutError: It took too long.
            DataContractError: The rows cannot be predicted as they are.
        """
        self._serving()
        job = Job(requests=requests, request_id=request_id, key=self._key(requests), features_as_of=features_as_of)
        answer: Answer = await self._batcher.submit(job, self.timeout_s)
        return answer

    def stream(self, request: Any) -> tuple[str, Stream]:
        """The champion's number, and its answer to one request piece by piece; the caller closes it.

        Raises:
            NotServingError: There is no champion.
            QueueFullError: As many streams as may be are under way.
        """
        champion = self._serving()
        if self._n_streams >= self.settings.max_streams:
            raise QueueFullError(
                f"{self._n_streams} streams are under way already.",
                way_out="try again after the seconds of Retry-After",
            )
        self._n_streams += 1
        self._streams_gauge.set(self._n_streams)
        stream = Stream(
            lambda: self._pieces(champion, request),
            name=f"stream-{self.project.name}",
            timeout_s=self.timeout_s,
            ended=self._stream_ended,
        )
        return champion.version, stream

    def _pieces(self, champion: LoadedVersion, request: Any) -> Iterator[Any]:
        """The pieces; runs in the stream's thread."""
        api = self.project.api
        if api.stream is None:  # the route exists only where there is one
            raise NotServingError(f"{self.project.name} does not stream.")
        return api.stream(champion.model, api.decode([request]))

    def _stream_ended(self, is_whole: bool) -> None:
        self._n_streams -= 1
        self._streams_gauge.set(self._n_streams)

    def _serving(self) -> LoadedVersion:
        if self.champion is None:
            raise NotServingError(
                self.why_not,
                where=f"project {self.project.name}",
                way_out=f"give a version of {self.project.name} the alias champion in MLflow; it is live in seconds",
            )
        return self.champion

    def canary(self) -> LoadedVersion | None:
        """The version that answers the canary's keys, if there is one."""
        challenger = self.challenger
        if not self.settings.canary_share or challenger is None or challenger.identity in self.rolled_back:
            return None
        return challenger

    def state(self) -> dict[str, Any]:
        """For people: versions, canary, agreement of the shadow."""
        champion, challenger, canary = self.champion, self.challenger, self.canary()
        return {
            "project": self.project.name,
            "title": self.project.title,
            "champion": champion.version if champion else None,
            "challenger": challenger.version if challenger else None,
            "canary": {
                "version": canary.version if canary else None,
                "share": self.settings.canary_share,
                "rolled_back": {version: reason for (version, _), reason in self.rolled_back.items()},
            },
            "shadow": self.shadow.report() | {"share": self.settings.shadow_share},
            "waiting_rows": self._batcher.waiting_rows,
        }

    def _key(self, requests: Sequence[Any]) -> str:
        """What the canary's choice goes by: the one key of all rows; empty for several, which the champion answers."""
        if not self.settings.canary_share:
            return ""
        if self._key_field is None:
            return str(requests[0].model_dump_json())
        keys = {str(getattr(request, self._key_field)) for request in requests}
        return keys.pop() if len(keys) == 1 else ""

    def _work(self, jobs: Sequence[Job]) -> list[Any]:
        """Answers or exceptions for ``jobs``; runs in the batcher's thread."""
        champion, canary, challenger = self.champion, self.canary(), self.challenger
        if champion is None:
            return [NotServingError(self.why_not)] * len(jobs)
        self._batch_rows.observe(sum(job.rows for job in jobs))
        self._queue_gauge.set(self._batcher.waiting_rows)
        answers: dict[Job, Any] = {}
        if canary is not None:
            share = self.settings.canary_share
            chosen = [job for job in jobs if job.key and is_chosen(job.key, canary.version, share)]
            answers = dict(self._canary_answers(canary, chosen))
        rest = [job for job in jobs if job not in answers]
        answers |= dict(self._answers(champion, rest, "champion", challenger))
        if canary is not None:
            self._judge(champion, canary)
        return [answers[job] for job in jobs]

    def _canary_answers(self, canary: LoadedVersion, jobs: Sequence[Job]) -> list[tuple[Job, Answer]]:
        """What the canary answered; where it failed the champion is asked instead."""
        told = self.metrics.canary_requests
        answered = []
        for job, answer in self._answers(canary, jobs, "canary", None):
            failed = isinstance(answer, Exception) and not isinstance(answer, DataContractError)
            told.labels(self.project.name, canary.version, "failed" if failed else "answered").inc()
            if not failed:
                answered.append((job, answer))
        return answered

    def _answers(
        self, version: LoadedVersion, jobs: Sequence[Job], role: str, shadow: LoadedVersion | None
    ) -> list[tuple[Job, Any]]:
        """Predicts ``jobs`` together; if that fails, each alone, so that one of them cannot spoil the others."""
        if not jobs:
            return []
        watch = self._watches.setdefault(version.identity, Watch())
        started = time.perf_counter()
        try:
            answered = version.answer([request for job in jobs for request in job.requests])
        except Exception as error:  # whatever a project's code meets becomes the answer of the job that caused it
            if len(jobs) > 1:
                return [pair for job in jobs for pair in self._answers(version, [job], role, shadow)]
            if not isinstance(error, DataContractError):
                watch.add(time.perf_counter() - started, failed=True)
                self.metrics.prediction_errors.labels(self.project.name, version.version).inc()
                where = {"project": self.project.name, "version": version.version, "request_id": jobs[0].request_id}
                logger.error("a prediction failed: %r", error, extra=where)
            return [(jobs[0], error)]
        seconds = time.perf_counter() - started
        self._timer(version.version).observe(seconds)
        for _ in jobs:
            watch.add(seconds, failed=False)
        return self._delivered(version, jobs, role, shadow, answered)

    def _delivered(
        self, version: LoadedVersion, jobs: Sequence[Job], role: str, shadow: LoadedVersion | None, answered: Answered
    ) -> list[tuple[Job, Any]]:
        """Answers for ``jobs``; the log gets all of them and the shadow its share."""
        self._log(version, role, [_logged(job, self.settings.log_share) for job in jobs], jobs, answered)
        pairs, start = [], 0
        for job in jobs:
            responses = answered.responses[start : start + job.rows]
            payloads = [response.__pydantic_serializer__.to_json(response) for response in responses]
            pairs.append((job, Answer(version.version, payloads)))
            if shadow is not None and self.settings.shadow_share and random.random() < self.settings.shadow_share:  # noqa: S311  # a sample, not a secret
                self.shadow.offer(shadow, job.requests, responses, job)
            start += job.rows
        return pairs

    def _log(
        self,
        version: LoadedVersion,
        role: str,
        logged: Sequence[Logged],
        jobs: Sequence[Job],
        answered: Answered,
    ) -> None:
        if any(one.is_sampled for one in logged):
            requests = [request for job in jobs for request in job.requests]
            self.log.append(Entry(time.time(), role, version.version, logged, requests, answered.predictions))

    def _log_shadow(self, version: LoadedVersion, requests: Sequence[Any], answered: Answered, job: Any) -> None:
        self._log(version, "shadow", [_logged(job, self.settings.log_share)], [job], answered)

    def _judge(self, champion: LoadedVersion, canary: LoadedVersion) -> None:
        """Ends the canary if it has proved worse; the follower tells the registry."""
        ours, theirs = (self._watches.get(one.identity, Watch()).behaviour() for one in (champion, canary))
        reason = reason_to_roll_back(ours, theirs, self.policy)
        if reason is not None:
            self.end_canary(canary, reason)

    def end_canary(self, canary: LoadedVersion, reason: str) -> None:
        """No key goes to this version any more."""
        self.rolled_back[canary.identity] = reason
        self.metrics.rollbacks.labels(self.project.name, canary.version).inc()
        logger.error("canary rolled back: %s", reason, extra={"project": self.project.name, "version": canary.version})

    def allow_again(self, identity: tuple[str, str]) -> None:
        """A person has lifted a rollback: the version starts anew."""
        self._watches.pop(identity, None)
        self.rolled_back.pop(identity, None)

    def forget(self, identities: set[tuple[str, str]]) -> None:
        """Drops what was remembered of versions that are not among ``identities``."""
        for identity in [one for one in self._watches if one not in identities]:
            del self._watches[identity]

    def _timer(self, version: str) -> Any:
        if version not in self._timers:
            self._timers[version] = self.metrics.prediction_seconds.labels(self.project.name, version)
        return self._timers[version]


def _logged(job: Job, share: float) -> Logged:
    """A job for the log; whether it is in the sample depends on its id alone, so its shadow is in it too."""
    return Logged(job.request_id, job.rows, job.features_as_of, is_chosen(job.request_id, "log", share))
