"""Shows a study's progress: a progress bar in a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Self

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

logger = logging.getLogger(__name__)


class TuningProgress:
    """Counts ended trials and remembers the best.

    Args:
        n_trials: Trials in all.
        primary: Name of the metric that decides.
        greater_is_better: Its direction.
    """

    def __init__(self, n_trials: int, *, primary: str, greater_is_better: bool) -> None:
        self._n_trials, self._primary, self._sign = n_trials, primary, 1 if greater_is_better else -1
        self._states: Counter[str] = Counter()
        self._best: tuple[int, float] | None = None
        self._bar = Progress(
            TextColumn("tuning"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=get_console(),
            disable=not get_console().is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=n_trials)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def add(self, number: int, state: str, value: float | None) -> None:
        """Counts one ended trial, of this process or an earlier one."""
        self._states[state] += 1
        if state == "COMPLETE" and value is not None and self._is_better(number, value):
            self._best = number, value
        self._bar.update(self._task, completed=self._states.total(), description=self._so_far())

    def ended(self, number: int, state: str, value: float | None, seconds: float) -> None:
        """Counts a trial that has just ended, and logs it if there is no progress bar."""
        self.add(number, state, value)
        if self._bar.disable:
            result = "" if value is None else f", {self._primary} {value:.5f}"
            logger.info(
                "trial %d %s in %.1f s%s (%d of %d; %s)",
                number,
                {"COMPLETE": "completed", "PRUNED": "pruned"}.get(state, "failed"),
                seconds,
                result,
                self._states.total(),
                self._n_trials,
                self._so_far(),
            )

    def _is_better(self, number: int, value: float) -> bool:
        # Trials end in any order; among equal values the lowest number wins, so that the result is reproducible.
        return self._best is None or (self._sign * value, -number) > (self._sign * self._best[1], -self._best[0])

    def _so_far(self) -> str:
        parts = ["none complete"] if self._best is None else [f"best {self._best[1]:.5f} (trial {self._best[0]})"]
        parts += [f"{self._states[state]} {state.lower()}" for state in ("PRUNED", "FAIL") if self._states[state]]
        return ", ".join(parts).replace(" fail", " failed")
