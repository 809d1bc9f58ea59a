"""How far a long piece of work has come: a bar in a terminal, a line in the log each half minute elsewhere.

For a training loop, the growing of trees, or anything else that counts. Work that ends within half a minute leaves no
line. Rich is only looked for in a terminal.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_DRAWINGS = 0.2


class Progress:
    """What :func:`progress` yields: it is told how many steps are done.

    Args:
        what: Two or three words that a line begins with: ``Boosting``.
        total: Steps in all.
        done: Steps that an earlier process did; the time left is estimated from the others.
        bar: Rich's bar, already started; None: lines in the log.
        is_shown: Whether anything is.
    """

    def __init__(self, what: str, total: int, done: int, bar: Bar | None, *, is_shown: bool) -> None:
        self._what, self._total, self._first, self._bar, self._is_shown = what, total, done, bar, is_shown
        self._task = None if bar is None else bar.add_task(what, total=total, completed=done)
        self._started = self._shown = time.monotonic()

    def update(self, done: int, detail: str = "") -> None:
        """Takes that ``done`` steps are done, in words ``detail``; cheap, but a loop of short steps calls it each n-th.

        Args:
            done: Steps, those of an earlier process included.
            detail: What else to show (``epoch 3 of 15``).
        """
        now = time.monotonic()
        pause = _SECONDS_BETWEEN_LINES if self._bar is None else _SECONDS_BETWEEN_DRAWINGS
        if not self._is_shown or now - self._shown < pause:
            return
        self._shown = now
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, description=f"{self._what} {detail}".strip())
            return
        left = self._seconds_left(done, now)
        logger.info(
            "%s: %.0f %%%s%s.",
            self._what,
            100 * done / max(1, self._total),
            f", {detail}" if detail else "",
            "" if left is None else f", {in_words(left)} left",
        )

    def _seconds_left(self, done: int, now: float) -> float | None:
        own = done - self._first
        return None if own <= 0 else (now - self._started) / own * (self._total - done)


@contextlib.contextmanager
def progress(what: str, total: int, *, done: int = 0, is_shown: bool = True) -> Iterator[Progress]:
    """Shows progress while a block runs.

    ``with progress("Boosting", 300) as shown:`` and then ``shown.update(10)``, ``shown.update(20)``, ...

    Args:
        what: Two or three words.
        total: Steps in all; the time left counts to there, so work that may stop earlier takes less.
        done: Steps that were done before.
        is_shown: False in all but one of several processes.
    """
    with contextlib.ExitStack() as stack:
        bar = _terminal_bar() if is_shown else None
        if bar is not None:
            bar.start()
            stack.callback(bar.stop)
        yield Progress(what, total, done, bar, is_shown=is_shown)


def in_words(seconds: float) -> str:
    """Returns a duration as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _terminal_bar() -> Bar | None:
    """Returns a bar, not yet started; None where there is no terminal or no rich."""
    if not sys.stdout.isatty():
        return None
    try:
        from rich import get_console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    console = get_console()
    if not console.is_terminal:
        return None
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
