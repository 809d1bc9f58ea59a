"""Micro-batches: requests that arrive while others are being predicted are predicted together next.

The queue is bounded, predictions run in a thread of their own, and the event loop stays free to accept and answer.
What nobody waits for any more is not predicted, or ended where it has begun.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.errors import ModelyardError
from modelyard.serving.worker_thread import GivenUp, WorkerThread

_LAST_BATCH_S = 2.0
"""Seconds that the last batch gets at the end of the process, beyond the time limit of its requests."""


class QueueFullError(ModelyardError):
    """More rows wait than the queue may hold."""


@dataclass(eq=False, slots=True, kw_only=True)
class Job:
    """One HTTP request in the queue.

    Args:
        requests: Its rows, validated.
        request_id: Its id.
        key: What the canary's choice depends on.
        features_as_of: When its features were written, for the log.
        version: The version that must answer; None: the one that serves.
        keeps_media: Whether its media may be in the sample that people look at.
        answer: Set once, by the batcher.
        served: What the work wants to remember of it until it is settled.
        arrived: Monotonic seconds.
    """

    requests: Sequence[Any]
    request_id: str
    key: str = ""
    features_as_of: Any = None
    version: Any = None
    keeps_media: bool = True
    answer: "asyncio.Future[Any]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    served: Any = None
    arrived: float = field(default_factory=time.monotonic)

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.requests)

    @property
    def is_answered(self) -> bool:
        """Whether somebody got an answer to it: not an error, and not given up before."""
        return self.answer.done() and not self.answer.cancelled() and self.answer.exception() is None


class Batcher:
    """Runs ``work`` on batches of jobs, one batch at a time.

    Args:
        work: Called in a thread with the jobs of a batch; returns an answer or an exception for each.
        settled: Called on the loop with a batch when each of its jobs has its answer, its error, or was given up.
        max_rows: Rows of a batch at most; a single larger job is a batch of its own.
        max_wait_s: How long an idle batcher waits for company after a first job.
        queue_rows: Rows that may wait.
        name: Of the thread.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job]], Sequence[Any]],
        settled: Callable[[Sequence[Job]], None],
        *,
        max_rows: int,
        max_wait_s: float,
        queue_rows: int,
        name: str,
    ) -> None:
        self._work, self._settled = work, settled
        self._max_rows, self._max_wait_s, self._queue_rows = max_rows, max_wait_s, queue_rows
        self._jobs: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._worker = WorkerThread(name)
        self._batch: list[Job] = []
        """What is predicted now."""
        self._task: asyncio.Task[None] | None = None
        self.waiting_rows = 0

    def start(self) -> None:
        """Starts to take jobs; needs a running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def submit(self, job: Job, timeout_s: float) -> Any:
        """Queues a job and waits for its answer.

        Raises:
            QueueFullError: The queue is full, or the server is going down.
            TimeoutError: There was no answer in time.
        """
        if self._closing or self.waiting_rows + job.rows > self._queue_rows:
            raise QueueFullError(
                f"{self.waiting_rows} rows are waiting already.", way_out="try again after the seconds of Retry-After"
            )
        self._jobs.append(job)
        self.waiting_rows += job.rows
        self._arrived.set()
        try:
            await asyncio.wait((job.answer,), timeout=timeout_s)
        finally:
            # Either it is answered by now, or it never will be: nothing is both logged as served and given up.
            if not job.answer.done():
                job.answer.cancel()
                self._stop_what_nobody_waits_for()
        if job.answer.cancelled():
            raise TimeoutError
        return job.answer.result()

    async def close(self) -> None:
        """Answers what is queued, then stops; a batch that hangs is left behind."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=_LAST_BATCH_S)
            self._task.cancel()
        self._worker.close()

    def _stop_what_nobody_waits_for(self) -> None:
        if self._batch and all(job.answer.done() for job in self._batch):
            self._worker.interrupt()

    async def _run(self) -> None:
        was_idle = True
        while self._jobs or not self._closing:
            if not self._jobs:
                self._arrived.clear()
                was_idle = True
                await self._arrived.wait()
            if was_idle and self._max_wait_s and self.waiting_rows < self._max_rows:
                await asyncio.sleep(self._max_wait_s)
            was_idle = False
            self._batch = self._take()
            if self._batch:
                await self._predict(self._batch)

    async def _predict(self, batch: list[Job]) -> None:
        try:
            answers = await self._worker.run(self._safely, batch)
        except GivenUp:
            return
        for job, answer in zip(batch, answers, strict=True):
            _settle(job, answer)
        self._settled(batch)

    def _take(self) -> list[Job]:
        """The next jobs, oldest first; those given up meanwhile are dropped."""
        batch: list[Job] = []
        rows = 0
        while self._jobs and (not batch or rows + self._jobs[0].rows <= self._max_rows):
            job = self._jobs.popleft()
            self.waiting_rows -= job.rows
            if not job.answer.done():
                batch.append(job)
                rows += job.rows
        return batch

    def _safely(self, batch: list[Job]) -> Sequence[Any]:
        try:
            return self._work(batch)
        except Exception as error:  # a bug in the work must not end the batcher; each job gets it as its answer
            return [error] * len(batch)


def _settle(job: Job, answer: Any) -> None:
    if job.answer.done():
        return
    if isinstance(answer, Exception):
        job.answer.set_exception(answer)
    else:
        job.answer.set_result(answer)
