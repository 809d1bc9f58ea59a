"""Several processes behind one command: links, one end for all, and what a port in use says."""

import os
import signal
import socket
import sys
import threading
import time

import psutil
import pytest

from modelyard.errors import BusyError, ModelyardError
from modelyard.servers import Server, check_ports, run_together

WITH_A_CHILD = (
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('here', flush=True); time.sleep(600)"
)
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"


def python(code, **fields):
    return Server(name="A server", command=(sys.executable, "-c", code), **fields)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_and_their_children(tmp_path, number, monkeypatch):
    monkeypatch.setattr("modelyard.servers._EXIT_GRACE_S", 0.5)
    port = free_port()
    web = Server(
        name="Web",
        command=(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)),
        port=port,
        shows="/docs",
    )
    deaf = Server(name="Deaf", command=(sys.executable, "-c", DEAF))
    others, family = set(psutil.Process().children()), []

    def interrupt():
        logs = [tmp_path / "a_server.log", tmp_path / "deaf.log"]
        while not all(log.exists() and "here" in log.read_text() for log in logs) or len(said) < 4:
            time.sleep(0.05)
        for child in set(psutil.Process().children()) - others:
            family.extend([child, *child.children(recursive=True)])
        os.kill(os.getpid(), number)

    said = []
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    before = signal.getsignal(number)
    run_together([python(WITH_A_CHILD), web, deaf], tmp_path, said.append)
    thread.join()
    assert len(family) >= 4
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert signal.getsignal(number) is before
    assert f"http://127.0.0.1:{port}/docs" in "".join(said)
    assert said[-2:] == ["Ctrl-C ends them all", "ending …"]


def test_one_that_ends_while_it_starts_ends_the_others_with_its_last_lines(tmp_path):
    failing = Server(name="Failing one", command=(sys.executable, "-c", "raise SystemExit('no such database')"))
    children = set(psutil.Process().children())
    with pytest.raises(ModelyardError, match="no such database") as caught:
        run_together([python(WITH_A_CHILD), failing], tmp_path, print)
    assert caught.value.where == str(tmp_path / "failing_one.log")
    assert set(psutil.Process().children()) <= children


def test_ports_in_use_are_all_named_at_once_with_the_options_that_change_them():
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
            each.listen()
        ports = [each.getsockname()[1] for each in (one, two)]
        servers = [python("", port=port, option=f"--{name}-port") for name, port in zip("ab", ports, strict=True)]
        with pytest.raises(BusyError, match="nothing was started") as caught:
            check_ports([*servers, python("", port=free_port())])
    assert all(str(port) in caught.value.found for port in ports)
    assert "--a-port" in caught.value.way_out
    assert "--b-port" in caught.value.way_out
    check_ports(servers)


def test_a_fallen_server_is_started_again_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr("modelyard.servers._FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr("modelyard.servers._SETTLED_S", 0.2)
    monkeypatch.setattr("modelyard.servers._EXIT_GRACE_S", 0.5)
    port, said, seen = free_port(), [], {}
    serve = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port))
    web = Server(name="Web", command=serve, port=port)
    others = set(psutil.Process().children())

    def the_server():
        (found,) = [one for one in set(psutil.Process().children()) - others if "http.server" not in one.cmdline()]
        return found

    def fall_twice():
        wait_until(lambda: "Ctrl-C ends them all" in said)
        for number in (1, 2):
            wait_until(lambda number=number: (tmp_path / "a_server.log").read_text().count("here") == number)
            time.sleep(0.5)  # until it has settled
            server = the_server()
            seen[number] = [server, *server.children()]
            web_is = {one.pid for one in set(psutil.Process().children()) - others} - {server.pid}
            seen.setdefault("web", web_is)
            assert seen["web"] == web_is
            server.kill()
        wait_until(lambda: (tmp_path / "a_server.log").read_text().count("here") == 3)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=fall_twice, daemon=True)
    thread.start()
    run_together([python(WITH_A_CHILD), web], tmp_path, said.append)
    thread.join()
    again = [line for line in said if "started again" in line]
    assert ["in 0.1 s" in again[0], "in 0.2 s" in again[1]] == [True, True], again
    assert all("status -9" in line and "a_server.log" in line for line in again)
    fallen = [process for number in (1, 2) for process in seen[number]]
    assert len(fallen) == 4
    assert psutil.wait_procs(fallen, timeout=10)[1] == [], "its children must not outlive it"


def wait_until(is_so, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
