"""Several servers behind one command: their links when they answer, one Ctrl-C for all of them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from modelyard.errors import BusyError, ModelyardError
from modelyard.files import writing
from modelyard.paths import repository

HOST = "127.0.0.1"
_LOOK_EVERY_S = 0.2
_GRACE_S = 15.0
_LAST_LINES = 5


@dataclass(frozen=True, kw_only=True)
class Server:
    """One process.

    Args:
        name: For people.
        command: What starts it.
        port: It listens on this port of the loopback address; None: it listens nowhere.
        option: The option that chooses the port.
        answers_at: Path that answers when it is ready.
        shows: Path that people open.
        environment: Added to this process's.
    """

    name: str
    command: Sequence[str]
    port: int | None = None
    option: str = ""
    answers_at: str = "/"
    shows: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)


def mlflow_servers(port: int) -> list[Server]:
    """MLflow's pages on the database of this repository; none where ``$MLFLOW_TRACKING_URI`` names a server."""
    from modelyard.tracking.mlflow_store import artifact_location, client, tracking_uri

    artifacts = artifact_location("")
    if artifacts is None:
        return []
    client()  # its tables are made here, once, and not by every worker at the same time
    command = (sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1")
    environment = {
        "MLFLOW_BACKEND_STORE_URI": tracking_uri(),  # it may hold a password, which a command line would show to all
        "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # of language models; they would be more processes
    }
    return [
        Server(
            name="MLflow",
            command=command,
            port=port,
            option="--mlflow-port",
            answers_at="/health",
            shows="/#/models",
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


def run_together(servers: Sequence[Server], logs: Path, say: Callable[[str], None]) -> None:
    """Runs all servers until SIGINT or SIGTERM, or until one of them ends; then ends all, with their children.

    Args:
        servers: What to run.
        logs: Folder for one log file of each.
        say: Called with each line for people.

    Raises:
        ModelyardError: A server has ended by itself.
    """
    running: dict[str, subprocess.Popen[bytes]] = {}
    with _stop_requests() as is_stopped:
        try:
            for server in servers:
                running[server.name] = _start(server, _log_of(server, logs))
            _watch(servers, running, logs, say, is_stopped)
        finally:
            say("ending …")
            _end(list(running.values()))


def _watch(
    servers: Sequence[Server],
    running: Mapping[str, "subprocess.Popen[bytes]"],
    logs: Path,
    say: Callable[[str], None],
    is_stopped: Callable[[], bool],
) -> None:
    """Says each link when its server answers; returns when asked to stop."""
    silent = list(servers)
    while not is_stopped():
        for server in servers:
            status = running[server.name].poll()
            if status is not None:
                raise _ended(server, status, _log_of(server, logs))
        for server in [one for one in silent if _answers(one)]:
            silent.remove(server)
            say(f"{server.name:<16}{f'http://{HOST}:{server.port}{server.shows}' if server.port else 'runs'}")
            if not silent:
                say("Ctrl-C ends them all")
        time.sleep(_LOOK_EVERY_S)


def _start(server: Server, log: Path) -> "subprocess.Popen[bytes]":
    """A session of its own: Ctrl-C in the terminal reaches this process alone, which ends the others in order."""
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
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
    """SIGTERM for every process group, SIGKILL for those that are still there after a while."""
    for process in groups:
        _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline and any(_is_alive(process) for process in groups):
        time.sleep(0.05)
    for process in groups:
        _signal(process.pid, signal.SIGKILL)
        process.wait()


def _is_alive(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the process or any of its group is left."""
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
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answers(server: Server) -> bool:
    import httpx

    if server.port is None:
        return True
    try:
        answer = httpx.get(f"http://{HOST}:{server.port}{server.answers_at}", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code < 500 or answer.status_code == 503  # not ready for want of a champion, but there


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
        f"{server.name} has ended with status {status}; the others are ended, too. Its last words:\n{last}",
        where=str(log),
        way_out="correct what it says, then run the same command again",
    )
