"""A thread for work that must not stand in the event loop's way, and whose work can be given up."""

import asyncio
import contextlib
import ctypes
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class GivenUp(BaseException):
    """Raised inside the work that :meth:`WorkerThread.interrupt` ends.

    No subclass of ``Exception``, so that a project's ``except Exception`` does not swallow it.
    """


class WorkerThread:
    """Runs what it is given, one after another, in a daemon thread.

    A daemon, because the end of the process must not wait for a library that hangs.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._is_running = self._is_interrupted = False
        self._whose: Any = None
        """Whom the work that runs is for."""
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """What ``work(*arguments)`` returns or raises.

        When the caller is cancelled, the work is skipped or, where it has begun, interrupted.

        Raises:
            GivenUp: It was interrupted.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_Result] = loop.create_future()

        def settle(result: Any, failure: BaseException | None) -> None:
            if not done.done():
                done.set_exception(failure) if failure else done.set_result(result)

        def task() -> None:
            if not done.done():
                result, failure = self._outcome(work, arguments, of=done)
                with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                    loop.call_soon_threadsafe(settle, result, failure)

        self._queue.put(task)
        try:
            return await done
        finally:
            if done.cancelled():
                self.interrupt(of=done)

    def post(self, work: Callable[..., None], *arguments: Any) -> None:
        """Queues work whose end nobody waits for, and which deals with its own errors."""
        self._queue.put(lambda: self._outcome(work, arguments, of=None))

    def interrupt(self, *, of: Any = None) -> None:
        """Raises :class:`GivenUp` in the work that runs now, at its next Python instruction.

        A call into native code ends first. What waits in the queue is not touched.

        Args:
            of: Only if the work is for this one.
        """
        with self._lock:
            if self._is_running and not self._is_interrupted and (of is None or of is self._whose):
                self._is_interrupted = True
                self._raise_in_thread(GivenUp)

    def close(self, wait_s: float = 0.0) -> None:
        """Ends the thread after what it was given; what takes longer than ``wait_s`` seconds is interrupted."""
        self._queue.put(None)
        self._thread.join(wait_s)
        self.interrupt()

    def _loop(self) -> None:
        while (task := self._queue.get()) is not None:
            task()

    def _outcome(
        self, work: Callable[..., Any], arguments: tuple[Any, ...], *, of: Any
    ) -> tuple[Any, BaseException | None]:
        """Result and failure, one of them; whatever the moment of an interruption, it does not leave this function."""
        result: Any = None
        failure: BaseException | None = None
        try:
            with self._lock:
                self._is_running, self._whose = True, of
            try:
                result = work(*arguments)
            except Exception as error:  # raised again where it is awaited
                failure = error
            self._end()
        except GivenUp as error:
            failure = error
            self._end()
        return result, failure

    def _end(self) -> None:
        """From here on nobody interrupts; an interruption that is still under way is taken back."""
        with self._lock:
            self._is_running = False
            if self._is_interrupted:
                self._is_interrupted = False
                self._raise_in_thread(None)

    def _raise_in_thread(self, kind: type[BaseException] | None) -> None:
        target = None if kind is None else ctypes.py_object(kind)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident or 0), target)
