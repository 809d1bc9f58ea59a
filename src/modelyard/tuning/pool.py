"""The parent's side of the tuning workers: sends them fits, and continues when a worker process dies."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection as ipc
from types import ModuleType
from typing import TYPE_CHECKING, Self

from modelyard.errors import ModelyardError
from modelyard.tuning.worker import FitTask, Outcome, serve

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

logger = logging.getLogger(__name__)

_ATTEMPTS = 2  # one death may be an accident; a second one is attributed to the trial's parameters
_EXIT_GRACE_S = 5.0


class WorkerPool:
    """A pool of worker processes that continues when one of them dies.

    ``concurrent.futures.ProcessPoolExecutor`` is not used: the death of one worker breaks all its futures, without
    showing which task was running, and it cannot end a running worker.

    Args:
        loader: ``module:function`` that returns the project for a name; called in the workers.
        name: The project's name.
        n_workers: Largest number of processes; each is started when a task first needs it.
        n_threads: CPU threads of each.
    """

    def __init__(self, *, loader: str, name: str, n_workers: int, n_threads: int) -> None:
        self._arguments = (loader, name, n_threads)
        self._n_workers = n_workers
        self._idle: list[_Worker] = []
        self._busy: dict[ipc.Connection, tuple[_Worker, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.kill()

    def run(self, tasks: Sequence[FitTask], on_end: Callable[[int, Outcome], None]) -> list[Outcome]:
        """Runs ``tasks``; a task whose worker dies is tried once more and fails if it dies again.

        Args:
            tasks: The tasks.
            on_end: Called with a task's index and outcome, in the order in which they end.

        Returns:
            Outcomes in the order of ``tasks``.

        Raises:
            ModelyardError: A worker reported an error that would affect every trial (disk full, project not loadable).
        """
        waiting, deaths = deque(range(len(tasks))), Counter[int]()
        outcomes: dict[int, Outcome] = {}
        while len(outcomes) < len(tasks):
            while waiting and len(self._busy) < self._n_workers:
                self._start(waiting.popleft(), tasks)
            for pipe in ipc.wait(list(self._busy)):
                worker, index = self._busy.pop(pipe)  # type: ignore[call-overload]  # wait() returns what it was given
                outcome = worker.outcome()
                if outcome is None:
                    deaths[index] += 1
                    reason = worker.cause_of_death()
                    logger.warning("%s: the worker died (%s), attempt %d", tasks[index].label, reason, deaths[index])
                    if deaths[index] < _ATTEMPTS:
                        waiting.appendleft(index)
                        continue
                    outcome = Outcome(state="FAIL", reason=f"the worker died twice: {reason}")
                else:
                    self._idle.append(worker)
                outcomes[index] = outcome
                on_end(index, outcome)
        return [outcomes[index] for index in range(len(tasks))]

    def _start(self, index: int, tasks: Sequence[FitTask]) -> None:
        worker = self._idle.pop() if self._idle else _Worker(self._arguments)
        self._busy[worker.pipe] = (worker, index)
        with contextlib.suppress(BrokenPipeError):  # it died while idle; wait() reports the end of its pipe
            worker.pipe.send(tasks[index])


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Keeps spawned processes from importing the parent's main script again.

    The worker does not need it. Kedro's command line would cost 1.7 s of CPU time in each worker, and a script
    without an ``if __name__ == "__main__"`` would run once more.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Worker:
    """One worker process and the parent's end of its pipe."""

    def __init__(self, arguments: tuple[str, str, int]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=serve, args=(theirs, *arguments), name="tuning worker")
        with _no_main_module():
            self._process.start()
        theirs.close()  # the worker must hold the only other end, so that its death closes the pipe

    def outcome(self) -> Outcome | None:
        """Returns the outcome of the last task; None if the worker died while running it."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            return None
        if isinstance(answer, ModelyardError):
            raise answer
        outcome: Outcome = answer
        return outcome

    def cause_of_death(self) -> str:
        """Returns how the process ended, as text."""
        self._process.join(_EXIT_GRACE_S)  # the pipe closes a moment before the process has ended
        self.kill()
        code = self._process.exitcode or 0
        if code == -signal.SIGKILL:
            return "killed with SIGKILL, as the kernel does when memory runs out"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def kill(self) -> None:
        """Kills the process; its files on disk are written atomically."""
        self._process.kill()
        self._process.join()
        self.pipe.close()
