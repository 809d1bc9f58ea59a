import logging
import sys

import pytest
import rich
from rich.console import Console

from modelyard.training import progress as room
from modelyard.training.progress import in_words, progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])
    return now


def test_a_line_each_half_minute_with_the_time_left(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modelyard.training")
    with progress("Boosting", 400, done=200) as shown:
        for second in range(1, 100):
            clock[0] = second
            shown.update(200 + second, "block 2")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "Boosting: 58 %, block 2, 3 min left.",
        "Boosting: 65 %, block 2, 2 min left.",
        "Boosting: 72 %, block 2, 2 min left.",
    ]


def test_short_work_and_other_processes_say_nothing(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modelyard.training")
    with progress("Training", 10) as shown, progress("Training", 10, is_shown=False) as hidden:
        clock[0] = 29
        shown.update(9)
        clock[0] = 90
        hidden.update(9)
    assert not caplog.records


def test_a_terminal_gets_a_bar(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelyard.training")
    console = Console(force_terminal=True, width=100, record=True)
    monkeypatch.setattr(rich, "get_console", lambda: console)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with progress("Training", 8) as shown:
        clock[0] = 60
        shown.update(2, "epoch 1 of 4")
    text = console.export_text()
    assert "Training epoch 1 of 4" in text
    assert "25%" in text
    assert not caplog.records


def test_durations() -> None:
    assert [in_words(seconds) for seconds in (3, 89, 90, 720, 7200)] == ["3 s", "89 s", "2 min", "12 min", "2.0 h"]
