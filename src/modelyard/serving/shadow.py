"""The shadow: the challenger scores a share of the traffic after it was answered; how far they agree is reported."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from modelyard.serving.loaded_version import Answered, LoadedVersion
from modelyard.serving.logs import place_of
from modelyard.serving.worker_thread import WorkerThread

if TYPE_CHECKING:
    import polars as pl
    from pydantic import BaseModel

    from modelyard.serving.metrics import Metrics

logger = logging.getLogger(__name__)

_MOST_WAITING_ROWS = 2048
_LAST_ROWS_S = 10.0
"""Seconds for what waits at the end of the process."""


class Shadow:
    """Scores in a thread of its own; what it cannot keep up with it leaves out and counts.

    Args:
        project: The project's name.
        metrics: Where agreement is counted.
        seen: Called as ``seen(version, inputs, answered, about)`` with what the challenger would have said.
    """

    def __init__(
        self, project: str, metrics: "Metrics", seen: "Callable[[LoadedVersion, pl.DataFrame, Answered, Any], None]"
    ) -> None:
        self._project, self._metrics, self._seen = project, metrics, seen
        self._worker = WorkerThread(f"shadow-{project}")
        self._lock = threading.Lock()
        self._waiting_rows = 0
        self._version = ""
        self._agreement: dict[str, Agreement] = {}

    def offer(self, version: LoadedVersion, inputs: "pl.DataFrame", answers: "Sequence[BaseModel]", about: Any) -> None:
        """Scores ``inputs`` with ``version`` later and compares with the champion's ``answers``."""
        with self._lock:
            if self._waiting_rows + inputs.height > _MOST_WAITING_ROWS:
                self._metrics.shadow_rows.labels(self._project, version.version, "left_out").inc(inputs.height)
                return
            self._waiting_rows += inputs.height
        self._worker.post(self._score, version, inputs, answers, about)

    def report(self) -> dict[str, Any]:
        """The challenger's agreement with the champion so far: field to rows and share or difference."""
        with self._lock:
            fields = {name: one.report() for name, one in self._agreement.items()}
        return {"version": self._version, "fields": fields} if fields else {}

    def close(self) -> None:
        """Scores what waits, then stops."""
        self._worker.close(_LAST_ROWS_S)

    def _score(
        self, version: LoadedVersion, inputs: "pl.DataFrame", answers: "Sequence[BaseModel]", about: Any
    ) -> None:
        rows = self._metrics.shadow_rows
        try:
            answered = version.answer(inputs)
            rows.labels(self._project, version.version, "scored").inc(inputs.height)
            self._compare(version.version, answers, answered.responses)
            self._seen(version, inputs, answered, about)
        except Exception as error:  # the challenger's bugs are its own: counted, logged, and nobody's answer
            rows.labels(self._project, version.version, "failed").inc(inputs.height)
            whose = {"project": self._project, "version": version.version}
            logger.error("the shadow could not answer", extra=whose | place_of(error))
        finally:
            with self._lock:
                self._waiting_rows -= inputs.height

    def _compare(self, version: str, champions: "Sequence[BaseModel]", shadows: "Sequence[BaseModel]") -> None:
        with self._lock:
            if version != self._version:
                self._version, self._agreement = version, {}
            for champion, shadow in zip(champions, shadows, strict=True):
                for name in type(champion).model_fields:
                    one = self._agreement.setdefault(name, Agreement())
                    difference = one.add(getattr(champion, name), getattr(shadow, name))
                    if difference is not None:
                        self._metrics.shadow_difference.labels(self._project, version, name).observe(difference)
            for name, one in self._agreement.items():
                self._metrics.shadow_agreement.labels(self._project, version, name).set(one.equal_share)


class Agreement:
    """How one field of two versions' answers agrees."""

    def __init__(self) -> None:
        self._rows = self._equal = 0
        self._difference = 0.0
        self._is_number = False

    def add(self, ours: Any, theirs: Any) -> float | None:
        """One more pair; returns the absolute difference of numbers."""
        self._rows += 1
        self._equal += ours == theirs
        if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (ours, theirs)):
            return None
        self._is_number = True
        difference = abs(float(ours) - float(theirs))
        self._difference += difference
        return difference

    @property
    def equal_share(self) -> float:
        """Share of pairs that are equal."""
        return self._equal / self._rows if self._rows else 0.0

    def report(self) -> dict[str, float]:
        """Rows, the share of equal ones and, for numbers, the mean absolute difference."""
        told: dict[str, float] = {"rows": self._rows, "equal_share": self.equal_share}
        return told | ({"mean_absolute_difference": self._difference / self._rows} if self._is_number else {})
