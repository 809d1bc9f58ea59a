"""Runs several servers from one command: prints their URLs, restarts those that end, stops all at Ctrl-C."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from types import FrameType

from modelyard.errors import BusyError, ModelyardError
from modelyard.files import writing
from modelyard.paths import repository
from modelyard.rotated_logs import cut_if_large, keep_earlier

HOST = "127.0.0.1"
_LOOK_EVERY_S = 0.2
_EXIT_GRACE_S = 15.0
_LAST_LINES = 5
_SETTLED_S = 20.0
"""A process without a port counts as started successfully after this time."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
"""Pause before a server is restarted: doubles with each restart, and is reset once it has run for the longest pause."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """One process.

    Args:
        name: Its name in messages.
        command: The command line that starts it.
        port: Port on the loopback address; None: it listens on no port.
        option: The command-line option that sets the port.
        answers_at: URL path that answers when the server is ready; empty: it does not use HTTP, and is
            ready when it listens.
        shows: URL path to open in a browser.
        environment: Environment variables added to those of this process.
    """

    name: str
    command: Sequence[str]
    port: int | None = None
    option: str = ""
    answers_at: str = "/"
    shows: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)


def mlflow_servers(port: int) -> list[Server]:
    """Returns an MLflow server on this repository's database; empty if ``$MLFLOW_TRACKING_URI`` names a server."""
    from modelyard.tracking.mlflow_store import artifact_location, client, tracking_uri

    artifacts = artifact_location("")
    if artifacts is None:
        return []
    client()  # creates the tables once, rather than in every worker at the same time
    command = (sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1")
    environment = {
        "MLFLOW_BACKEND_STORE_URI": tracking_uri(),  # it may hold a password, which a command line would expose
        "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # jobs for language models would start more processes
    }
    return [
        Server(
            name="MLflow",
            command=command,
            port=port,
            option="--mlflow-port",
            answers_at="/health",
            shows="/#/experiments?workflowType=machine_learning",
            environment=environment,
        )
    ]


def check_ports(servers: Sequence[Server]) -> None:
    """Checks that every port is free, before anything is started.

    Raises:
        BusyError: One or more are not.
    """
    taken = [server for server in servers if server.port is not None and _is_taken(server.port)]
    if taken:
        ports = " and ".join(f"port {server.port} ({server.name})" for server in taken)
        options = " ".join(f"{server.option} {(server.port or 0) + 100}" for server in taken)
        raise BusyError(
            f"{ports[0].upper()}{ports[1:]} {'is' if len(taken) == 1 else 'are'} in use; nothing was started.",
            where=HOST,
            way_out=f"end what listens there, or choose another: {options}",
        )


@dataclass
class _Process:
    """A server's process and its state."""

    server: Server
    log: Path
    process: "subprocess.Popen[bytes]"
    started_at: float
    has_answered: bool = False
    has_settled: bool = False
    pause_s: float = field(default_factory=lambda: _FIRST_PAUSE_S)
    restart_at: float | None = None


def run_together(servers: Sequence[Server], logs: Path, say: Callable[[str], None]) -> None:
    """Runs all servers until SIGINT or SIGTERM; then ends all, with their children.

    A server that ends after a successful start is restarted while the others continue. One that ends during its first
    start ends the others, too: its configuration is wrong, and a restart would fail in the same way.

    Args:
        servers: What to run.
        logs: Folder for one log file of each.
        say: Called with each line of output.

    Raises:
        ModelyardError: A server has ended while it started.
    """
    running: list[_Process] = []
    with _stop_requests() as is_stopped:
        try:
            for server in servers:
                log = _log_of(server, logs)
                with writing(log):
                    keep_earlier(log)
                running.append(_Process(server, log, _start(server, log), time.monotonic()))
            _watch(running, say, is_stopped)
        finally:
            say("ending …")
            _end([one.process for one in running])


def _watch(running: Sequence[_Process], say: Callable[[str], None], is_stopped: Callable[[], bool]) -> None:
    """Prints the servers' URLs in their order, once they answer, and restarts those that have ended.

    It returns at a stop signal.
    """
    is_complete = False
    told: dict[str, int] = {}
    while not is_stopped():
        for one in running:
            if one.restart_at is not None:
                _start_again(one)
            elif one.process.poll() is not None:
                _handle_end(one, say)
            elif not one.has_answered and _answers(one.server):
                one.has_answered = True
            with contextlib.suppress(OSError):  # a full disk: the servers go on
                cut_if_large(one.log)
            lived_s = time.monotonic() - one.started_at
            one.has_settled |= lived_s > _SETTLED_S if one.server.port is None else one.has_answered
            if one.restart_at is None and lived_s > _LONGEST_PAUSE_S:
                one.pause_s = _FIRST_PAUSE_S
        # Whoever opens the first link should find the first server; the others may be quicker.
        for one in takewhile(lambda other: other.has_answered or other.server.name in told, running):
            if one.has_answered and told.get(one.server.name) != one.process.pid:
                told[one.server.name] = one.process.pid
                say(f"{one.server.name:<16}{_link(one.server)}")
        if not is_complete and all(one.has_answered for one in running):
            is_complete = True
            say("Ctrl-C ends them all")
        time.sleep(_LOOK_EVERY_S)


def _handle_end(one: _Process, say: Callable[[str], None]) -> None:
    """Kills what is left of an ended server's processes and schedules its restart.

    Raises:
        ModelyardError: The server ended during its first start.
    """
    if not one.has_settled:
        raise _ended(one.server, one.process.returncode, one.log)
    _signal(one.process.pid, signal.SIGKILL)
    say(
        f"{one.server.name} has ended with status {one.process.returncode}, see {one.log};"
        f" it is started again in {one.pause_s:g} s"
    )
    one.has_answered, one.restart_at = False, time.monotonic() + one.pause_s
    one.pause_s = min(2 * one.pause_s, _LONGEST_PAUSE_S)


def _start_again(one: _Process) -> None:
    if one.restart_at is not None and time.monotonic() >= one.restart_at:
        one.process, one.started_at = _start(one.server, one.log), time.monotonic()
        one.restart_at = None


def _start(server: Server, log: Path) -> "subprocess.Popen[bytes]":
    """Starts a server in its own session, so that Ctrl-C reaches only this process, which then ends the others."""
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                server.command,
                cwd=repository(),
                env={**os.environ, **server.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _end(groups: "Sequence[subprocess.Popen[bytes]]") -> None:
    """Sends SIGTERM to every process group, and SIGKILL to those that are still there after the grace period."""
    for process in groups:
        _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _EXIT_GRACE_S
    while time.monotonic() < deadline and any(_is_alive(process) for process in groups):
        time.sleep(0.05)
    for process in groups:
        _signal(process.pid, signal.SIGKILL)
        process.wait()


def _is_alive(process: "subprocess.Popen[bytes]") -> bool:
    """Returns whether the process or any of its group is left."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


@contextlib.contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Turns SIGINT and SIGTERM into a flag for the length of the block."""
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _link(server: Server) -> str:
    has_pages = server.port is not None and server.answers_at
    return f"http://{HOST}:{server.port}{server.shows}" if has_pages else "runs"


def _answers(server: Server) -> bool:
    import httpx

    if server.port is None:
        return True
    if not server.answers_at:
        return _is_taken(server.port)
    try:
        answer = httpx.get(f"http://{HOST}:{server.port}{server.answers_at}", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code < 500 or answer.status_code == 503  # it is up, but has no champion to serve yet


def free_port() -> int:
    """Returns a currently free port of the loopback address."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _log_of(server: Server, logs: Path) -> Path:
    return logs / f"{server.name.lower().replace(' ', '_')}.log"


def _ended(server: Server, status: int, log: Path) -> ModelyardError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = "\n".join(f"    {line}" for line in lines[-_LAST_LINES:])
    return ModelyardError(
        f"{server.name} has ended with status {status}; the others are ended, too. Its last lines:\n{last}",
        where=str(log),
        way_out="correct what it says, then run the same command again",
    )
