"""One project behind the server: which version answers whom, and what becomes of each answer."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from modelyard.errors import DataContractError, ModelyardError
from modelyard.serving.batching import Batcher, Job, QueueFullError
from modelyard.serving.canary import CanaryPolicy, Watch, is_chosen, reason_to_roll_back
from modelyard.serving.inputs import decoded
from modelyard.serving.loaded_version import Answered, LoadedVersion, NotANumberError
from modelyard.serving.logs import place_of
from modelyard.serving.request_log import Entry, Logged, RequestLog
from modelyard.serving.shadow import Shadow
from modelyard.serving.streams import Stream

if TYPE_CHECKING:
    import polars as pl

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
        self.stand_in: LoadedVersion | None = None
        """What answers on the page while there is no champion."""
        self.degraded = ""
        """Why another version than the champion answers; empty if none does."""
        self.rolled_back: dict[tuple[str, str], str] = {}
        self.shadow = Shadow(project.name, metrics, self._log_shadow)
        self._watches: dict[tuple[str, str], Watch] = {}
        self._timers: dict[str, Any] = {}
        self._batcher = Batcher(
            self._work,
            self._log_settled,
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

    async def answer(
        self,
        requests: Sequence[Any],
        request_id: str,
        features_as_of: Any = None,
        *,
        on_page: bool = False,
        version: LoadedVersion | None = None,
    ) -> Answer:
        """The responses to ``requests``, all from one version.

        Args:
            requests: Validated, one for each row.
            request_id: Of the HTTP request.
            features_as_of: When their features were written, for the log.
            on_page: Somebody plays on the page: no canary answers, and no media are kept.
            version: That answers in place of the champion; what it answers is logged as ``play``.

        Raises:
            NotServingError: There is no champion.
            QueueFullError: Too many rows wait.
            TimeoutError: It took too long.
            DataContractError: The rows cannot be predicted as they are.
        """
        if version is None:
            self._serving()
        key = "" if on_page else self._key(requests)
        job = Job(
            requests=requests,
            request_id=request_id,
            key=key,
            features_as_of=features_as_of,
            version=version,
            keeps_media=not on_page,
        )
        answer: Answer = await self._batcher.submit(job, self.timeout_s)
        return answer

    def stream(
        self, request: Any, request_id: str, *, on_page: bool = False, version: LoadedVersion | None = None
    ) -> tuple[str, Stream]:
        """A version's number, and its answer to one request piece by piece; the caller closes it.

        Args:
            request: Validated.
            request_id: Of the HTTP request.
            on_page: See :meth:`answer`.
            version: That answers in place of the champion; what it answers is logged as ``play``.

        Raises:
            NotServingError: There is no champion.
            QueueFullError: As many streams as may be are under way.
        """
        answering, make = version or self._serving(), self.project.api.stream
        role = "stream" if version is None else "play"
        if make is None:  # the route exists only where there is one
            raise NotServingError(f"{self.project.name} does not stream.")
        if self._n_streams >= self.settings.max_streams:
            raise QueueFullError(
                f"{self._n_streams} streams are under way already.",
                way_out="try again after the seconds of Retry-After",
            )
        self._n_streams += 1
        self._streams_gauge.set(self._n_streams)
        job = Job(requests=[request], request_id=request_id, keeps_media=not on_page)

        def pieces() -> Iterator[Any]:
            """Runs in the stream's thread."""
            batch = _Batch([job], decoded(self.project, [request]))
            job.served = _Served(time.time(), role, answering.version, batch, None)
            return make(answering.model, batch.inputs)

        def ended(is_begun: bool) -> None:
            """Runs on the loop."""
            self._n_streams -= 1
            self._streams_gauge.set(self._n_streams)
            if is_begun and job.served is not None:
                self._log(job.served, [self._logged(job, is_answered=True)])

        name = f"stream-{self.project.name}"
        return answering.version, Stream(pieces, name=name, timeout_s=self.timeout_s, ended=ended)

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
            "degraded": self.degraded or None,
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
        self._batch_rows.observe(sum(job.rows for job in jobs))
        self._queue_gauge.set(self._batcher.waiting_rows)
        answers = self._served_answers([job for job in jobs if job.version is None])
        pinned = [job for job in jobs if job.version is not None]
        for batch in self._decoded(pinned, answers) if pinned else ():
            for identity, version in {job.version.identity: job.version for job in batch.jobs}.items():
                asked = batch.of([job for job in batch.jobs if job.version.identity == identity])
                answers |= self._answers(version, asked, "play", None)
        return [answers[job] for job in jobs]

    def _served_answers(self, jobs: Sequence[Job]) -> dict[Job, Any]:
        """What champion and canary answer."""
        champion, canary, challenger = self.champion, self.canary(), self.challenger
        if champion is None:
            return dict.fromkeys(jobs, NotServingError(self.why_not))
        answers: dict[Job, Any] = {}
        for batch in self._decoded(jobs, answers) if jobs else ():
            if canary is not None:
                share = self.settings.canary_share
                chosen = [job for job in batch.jobs if job.key and is_chosen(job.key, canary.version, share)]
                answers |= self._canary_answers(canary, batch.of(chosen))
            rest = batch.of([job for job in batch.jobs if job not in answers])
            answers |= self._answers(champion, rest, "champion", challenger)
        if canary is not None:
            self._judge(champion, canary)
        return answers

    def _decoded(self, jobs: Sequence[Job], answers: dict[Job, Any]) -> list["_Batch"]:
        """``jobs`` decoded together; if that fails, each alone, and those that cannot be decoded get their answer."""
        try:
            return [_Batch(jobs, decoded(self.project, [request for job in jobs for request in job.requests]))]
        except DataContractError as error:
            if len(jobs) == 1:
                answers[jobs[0]] = error
                return []
            return [batch for job in jobs for batch in self._decoded([job], answers)]

    def _canary_answers(self, canary: LoadedVersion, batch: "_Batch") -> dict[Job, Any]:
        """What the canary answered; where it failed the champion is asked instead."""
        told = self.metrics.canary_requests
        answered = {}
        for job, answer in self._answers(canary, batch, "canary", None).items():
            failed = isinstance(answer, Exception) and not _is_about_the_request(answer)
            told.labels(self.project.name, canary.version, "failed" if failed else "answered").inc()
            if not failed:
                answered[job] = answer
        return answered

    def _answers(
        self, version: LoadedVersion, batch: "_Batch", role: str, shadow: LoadedVersion | None
    ) -> dict[Job, Any]:
        """Predicts the jobs together; if that fails, each alone, so that one of them cannot spoil the others."""
        if not batch.jobs:
            return {}
        watch = self._watches.setdefault(version.identity, Watch())
        started = time.perf_counter()
        try:
            answered = version.answer(batch.inputs)
        except Exception as error:  # whatever a project's code meets becomes the answer of the job that caused it
            if len(batch.jobs) > 1:
                alone = [self._answers(version, batch.of([job]), role, shadow) for job in batch.jobs]
                return {job: answer for answers in alone for job, answer in answers.items()}
            if not _is_about_the_request(error):
                watch.add(time.perf_counter() - started, failed=True)
                self.metrics.prediction_errors.labels(self.project.name, version.version).inc()
                where = {"version": version.version, "request_id": batch.jobs[0].request_id}
                logger.error("a prediction failed", extra={"project": self.project.name} | where | place_of(error))
            return {batch.jobs[0]: error}
        seconds = time.perf_counter() - started
        self._timer(version.version).observe(seconds)
        for _ in batch.jobs:
            watch.add(seconds, failed=False)
        return self._delivered(version, batch, role, shadow, answered)

    def _delivered(
        self, version: LoadedVersion, batch: "_Batch", role: str, shadow: LoadedVersion | None, answered: Answered
    ) -> dict[Job, Any]:
        """Answers for the batch's jobs; the log remembers all of them and the shadow gets its share."""
        served = _Served(time.time(), role, version.version, batch, answered.predictions)
        answers: dict[Job, Any] = {}
        start = 0
        for job in batch.jobs:
            responses = answered.responses[start : start + job.rows]
            payloads = [response.__pydantic_serializer__.to_json(response) for response in responses]
            answers[job], job.served = Answer(version.version, payloads), served
            if shadow is not None and self.settings.shadow_share and random.random() < self.settings.shadow_share:  # noqa: S311  # a sample, not a secret
                self.shadow.offer(shadow, batch.inputs[start : start + job.rows], responses, job)
            start += job.rows
        return answers

    def _log_settled(self, jobs: Sequence[Job]) -> None:
        """Logs what was answered, and nothing that was given up meanwhile; runs on the loop."""
        for served in {id(job.served): job.served for job in jobs if job.served is not None}.values():
            self._log(served, [self._logged(job, is_answered=job.is_answered) for job in served.batch.jobs])

    def _log_shadow(self, version: LoadedVersion, inputs: "pl.DataFrame", answered: Answered, job: Any) -> None:
        served = _Served(time.time(), "shadow", version.version, _Batch([job], inputs), answered.predictions)
        self._log(served, [self._logged(job, is_answered=True)._replace(has_media=False)])

    def _log(self, served: "_Served", logged: Sequence[Logged]) -> None:
        if any(one.is_kept for one in logged):
            at, role, version, batch, predictions = served
            self.log.append(Entry(at, role, version, logged, batch.inputs, predictions))

    def _logged(self, job: Job, *, is_answered: bool) -> Logged:
        """A job for the log; whether it is in the sample depends on its id alone, so its shadow is in it too."""
        is_kept = is_answered and is_chosen(job.request_id, "log", self.settings.log_share)
        wish = self.project.api.logged_media if job.keeps_media else None
        has_media = is_kept and wish is not None and is_chosen(job.request_id, "media", wish.share)
        as_of = [json.dumps(one) for one in job.features_as_of] if job.features_as_of else None
        return Logged(job.request_id, job.rows, as_of, is_kept, has_media)

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


class _Batch(NamedTuple):
    """Jobs and what ``decode`` made of their requests, row for row."""

    jobs: Sequence[Job]
    inputs: "pl.DataFrame"

    def of(self, jobs: Sequence[Job]) -> "_Batch":
        """Some of the jobs, in their order, with their rows."""
        if len(jobs) == len(self.jobs):
            return self
        wanted, start = set(jobs), 0
        rows: list[int] = []
        for job in self.jobs:
            if job in wanted:
                rows += range(start, start + job.rows)
            start += job.rows
        return _Batch(jobs, self.inputs[rows])


class _Served(NamedTuple):
    """What was predicted together, until it is known whom it reached."""

    served_at: float
    role: str
    version: str
    batch: _Batch
    predictions: "pl.DataFrame | None"


def _is_about_the_request(error: Exception) -> bool:
    """Whether another version would say the same: the values are at fault, not the model."""
    return isinstance(error, DataContractError) and not isinstance(error, NotANumberError)
