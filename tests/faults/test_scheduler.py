"""Scheduler faults: a daemon killed mid-run, clock jumps, two daemons; no retraining is lost, none is done twice."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import dagster as dg
import psutil
import pytest

from modelyard.commands.schedule import schedule
from modelyard.retraining import history, retrain
from modelyard.retraining.decision import Trigger
from modelyard.retraining.retrain import Outcome
from modelyard.retraining.scheduler import dagster_home, only_scheduler
from tests.modelyard.retraining.scheduled import PROJECT, Scheduler

WEEK = timedelta(days=7)


@pytest.fixture
def scheduler(data_directory, monkeypatch):
    scheduler = Scheduler(data_directory, monkeypatch)
    scheduler.look()  # watching begins
    yield scheduler
    scheduler.close()


@pytest.fixture
def dead_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_two_months_without_a_daemon_are_caught_up_by_one_run(scheduler):
    scheduler.now += 8 * WEEK
    assert [scheduler.look() for _ in range(3)] == [1, 0, 0]


def test_a_clock_that_jumps_ahead_and_back_repeats_nothing_and_loses_nothing(scheduler):
    scheduler.now += WEEK
    assert scheduler.look() == 1
    scheduler.now += 52 * WEEK
    assert scheduler.look() == 1, "to the scheduler, a year has passed"
    scheduler.now -= 52 * WEEK
    assert scheduler.look() == 0, "this Monday was retrained for"
    scheduler.now -= WEEK
    assert scheduler.look() == 0, "what was due before watching began was not missed"
    scheduler.now += 2 * WEEK
    assert [scheduler.look() for _ in range(2)] == [1, 0], "the next Monday is not lost"


def test_a_clock_that_was_wrong_when_watching_began_loses_nothing(data_directory, monkeypatch):
    scheduler = Scheduler(data_directory, monkeypatch)
    scheduler.now += 52 * WEEK
    scheduler.look()
    scheduler.now -= 52 * WEEK
    scheduler.look()
    scheduler.now += WEEK
    assert [scheduler.look() for _ in range(2)] == [1, 0]
    scheduler.close()


def test_a_killed_run_is_asked_for_again_and_ends_once(scheduler, dead_pid):
    scheduler.now += WEEK
    (request,) = {one.run_key: one for one in scheduler.asks()}.values()
    trigger = request.tags["modelyard/trigger"]
    history.write(PROJECT, "started", [trigger])
    vanished = scheduler.run_that_vanished(request, dead_pid)
    assert [scheduler.look() for _ in range(3)] == [1, 0, 0]
    assert scheduler.instance.get_run_by_id(vanished).status is dg.DagsterRunStatus.FAILURE, "the queue is free again"
    assert trigger in history.read(PROJECT).handled


def test_a_run_that_lives_is_waited_for(scheduler):
    scheduler.now += WEEK
    (request,) = {one.run_key: one for one in scheduler.asks()}.values()
    scheduler.run_that_vanished(request, os.getpid())
    assert scheduler.look() == 0
    scheduler.now += WEEK
    assert scheduler.look() == 0


def test_what_dies_every_time_is_given_up_with_an_alert(scheduler, dead_pid):
    scheduler.now += WEEK
    for _ in range(3):
        request = scheduler.asks()[0]
        history.write(PROJECT, "started", [request.tags["modelyard/trigger"]])
        scheduler.run_that_vanished(request, dead_pid)
    assert [scheduler.look() for _ in range(2)] == [0, 0]
    assert len(scheduler.alerts()) == 1
    scheduler.now += WEEK
    assert scheduler.look() == 1, "the next week is another matter"


def test_a_run_that_a_person_ended_does_not_come_back(scheduler):
    scheduler.now += WEEK
    (request,) = {one.run_key: one for one in scheduler.asks()}.values()
    stopped = scheduler.instance.get_run_by_id(scheduler.run_that_vanished(request, os.getpid()))
    scheduler.instance.report_run_canceled(stopped)
    assert scheduler.look() == 0
    scheduler.now += WEEK
    assert scheduler.look() == 1


def test_two_schedulers_that_ask_at_the_same_moment_retrain_once(scheduler):
    scheduler.now += WEEK
    first, second = scheduler.asks()[0], scheduler.asks()[0]
    scheduler.launch(first)
    scheduler.instance.wipe()  # the second daemon has a database of its own
    scheduler.launch(second)
    assert len(scheduler.retrainings) == 1


def test_a_line_of_the_journal_that_a_kill_cut_short_costs_nothing(scheduler):
    scheduler.now += WEEK
    scheduler.look()
    with history.journal_path(PROJECT).open("a") as file:
        file.write('{"at": "2026-11-')
    assert scheduler.look() == 0
    scheduler.now += WEEK
    assert [scheduler.look() for _ in range(2)] == [1, 0]


def test_a_second_scheduler_on_the_same_data_says_so(data_directory):
    from click.testing import CliRunner

    with only_scheduler():
        refused = CliRunner().invoke(schedule, [])
    assert refused.exit_code == 5
    assert "Another scheduler runs" in refused.output


def test_real_daemons_two_of_them_and_one_killed_mid_run(data_directory, tmp_path):
    """The first daemon is killed with all its processes while it retrains; then two daemons start at once."""
    code = Path(__file__).with_name("slow_retraining.py")
    mark = tmp_path / "marks"
    key = "drift:1:2026-11-01T00:00:00 to 2026-11-02T00:00:00"
    history.write(PROJECT, "watched")
    Scheduler.verdict(_Folder(data_directory), 1)
    with _daemon(code, mark) as first:
        _wait_for(mark, "begun", first)
    assert "done" not in mark.read_text()
    assert key not in history.read(PROJECT).handled
    with _daemon(code, mark) as one, _daemon(code, mark) as two:
        _wait_for(mark, "done", one, two)
        begun = mark.read_text().count("begun")
        time.sleep(8)  # several further looks of each
    assert mark.read_text().count("done") == 1
    assert mark.read_text().count("begun") == begun == 2, "the killed one and the one that took its place"
    assert key in history.read(PROJECT).handled


SCHEDULE = """
import sys
from dataclasses import replace
from pathlib import Path

from modelyard import servers
from modelyard.retraining.scheduler import dagster_servers
from modelyard.servers import free_port, run_together

servers._SETTLED_S = 1
code, *others = dagster_servers(free_port(), environment="", params="")
code = replace(code, command=[*code.command[:-2], "-f", sys.argv[1]])
run_together([code, *others], Path(sys.argv[2]), print)
"""


def test_a_daemon_that_falls_is_started_again_and_the_retraining_goes_on(data_directory, tmp_path):
    """As in `kedro schedule` and `kedro up`: definitions, pages and daemon are processes of their own."""
    code, mark, said = Path(__file__).with_name("slow_retraining.py"), tmp_path / "marks", tmp_path / "said"
    history.write(PROJECT, "watched")
    Scheduler.verdict(_Folder(data_directory), 1)
    command = [sys.executable, "-u", "-c", SCHEDULE, str(code), str(tmp_path / "logs")]
    with said.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | {"MARK": str(mark)}, stdout=output, stderr=output)
    process.log = said
    try:
        _wait_for(mark, "begun", process)
        children = {child.pid: " ".join(child.cmdline()) for child in psutil.Process(process.pid).children()}
        (daemon,) = [pid for pid, line in children.items() if "dagster-daemon" in line]
        os.kill(daemon, signal.SIGKILL)
        _wait_for(mark, "done", process)
        _wait_for(said, "started again", process)
        running = {child.pid for child in psutil.Process(process.pid).children()}
        assert children.keys() - running == {daemon}
        assert mark.read_text() == "begun\ndone\n"
    finally:
        process.terminate()
        process.wait()


class _Folder:
    def __init__(self, data):
        self.data = data


@contextlib.contextmanager
def _daemon(code, mark):
    """A real ``dagster-daemon``, killed with kill -9 at the end, like all its processes."""
    log = mark.with_name(f"daemon-{time.monotonic_ns()}.log")
    command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-f", str(code)]
    environment = os.environ | {"DAGSTER_HOME": str(dagster_home()), "MARK": str(mark)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    process.log = log
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(mark, word, *daemons, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if mark.exists() and word in mark.read_text():
            return
        time.sleep(0.1)
    raise AssertionError("\n".join(daemon.log.read_text()[-3000:] for daemon in daemons))


def test_a_second_process_waits_for_the_first_and_finds_it_done(data_directory, monkeypatch):
    """The lock itself: two processes retrain for the same trigger at the same time."""
    script = (
        "import sys, time\n"
        "from modelyard.retraining import retrain\n"
        "def slow(project, say):\n"
        "    print('begun', flush=True); time.sleep(1)\n"
        "retrain._run, retrain._judge = slow, lambda project, triggers: retrain.Outcome('7', False, '')\n"
        f"print(retrain.retrain({PROJECT!r}, [retrain.Trigger('drift', 'drift:1:w', '')], print).why)\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert "".join(said).count("begun") == 1
    assert "".join(said).count("another retraining has handled it") == 1
    monkeypatch.setattr(retrain, "_run", lambda project, say: pytest.fail("it was done"))
    monkeypatch.setattr(retrain, "_judge", lambda project, triggers: Outcome("7", False, ""))
    assert retrain.retrain(PROJECT, [Trigger("drift", "drift:1:w", "")], print).version is None
