"""The processes: one that serves, or a parent with several workers on one port."""

import errno
import ipaddress
import os
import resource
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from modelyard.errors import BusyError, ConfigurationError
from modelyard.model_registry.signing import check_key
from modelyard.serving.api_keys import KEYS_VARIABLE, ApiKeys
from modelyard.serving.server_settings import SETTINGS_VARIABLE, ServingSettings

if TYPE_CHECKING:
    import uvicorn

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
"""One thread each: a micro-batch is small, and threads that wait for each other cost more than they bring."""


_BACKLOG = 2048


def listen(settings: ServingSettings) -> socket.socket:
    """Takes the address.

    Raises:
        BusyError: Somebody else has it.
        ConfigurationError: It is not this machine's, needs more rights, or can be reached from others without a key.
    """
    if not is_loopback(settings.host) and not ApiKeys.from_environment().are_required:
        raise ConfigurationError(
            f"Whoever reaches {settings.host} could ask: no API key is set.",
            where="--host",
            way_out=f"set {KEYS_VARIABLE} to the sha256 of each key that may ask, or leave --host out",
        )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place = f"{settings.host}:{settings.port}"
    try:
        taken.bind((settings.host, settings.port))
        taken.listen(_BACKLOG)  # at once: until then a second server could take the same address
    except OSError as error:
        taken.close()
        if error.errno == errno.EADDRINUSE:
            raise BusyError(
                f"Port {settings.port} of {settings.host} is in use.",
                where=place,
                way_out=f"end the other server, or: kedro serve --port {settings.port + 1}",
            ) from error
        raise ConfigurationError(
            f"It is not possible to listen there: {error.strerror or error}.",
            where=place,
            way_out="choose an address of this machine and a port above 1023",
        ) from error
    return taken


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {address[4][0] for address in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(str(one).partition("%")[0]).is_loopback for one in found)


def raise_descriptor_limit() -> None:
    """Takes as many descriptors as the system lets this process have, up to 65,536."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def serve(settings: ServingSettings, taken: socket.socket) -> None:
    """Serves until SIGTERM or Ctrl-C; then everything that was queued is answered and the log is sealed.

    Args:
        settings: How it behaves.
        taken: From :func:`listen`.
    """
    ApiKeys.from_environment()  # a wrong one is said here, not by every worker
    check_key()
    raise_descriptor_limit()
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    os.environ[SETTINGS_VARIABLE] = settings.model_dump_json()
    # uvicorn raises the signal again after its shutdown, for handlers like these.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    if settings.workers == 1:
        _serve_here(settings, taken)
        return
    with tempfile.TemporaryDirectory(prefix="modelyard-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(Path(folder))
        _serve_with_workers(settings, taken)


def _serve_here(settings: ServingSettings, taken: socket.socket) -> None:
    import uvicorn

    uvicorn.Server(_config(settings)).run(sockets=[taken])


def _serve_with_workers(settings: ServingSettings, taken: socket.socket) -> None:
    from uvicorn.supervisors import Multiprocess

    Multiprocess(_config(settings), sockets=[taken]).run()


def _config(settings: ServingSettings) -> "uvicorn.Config":
    import uvicorn

    return uvicorn.Config(
        "modelyard.serving.app:create_app",
        factory=True,
        workers=settings.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=None,  # every answer has a time limit of its own, some projects a long one
        http="modelyard.serving.connections:BoundedConnection",
        ws="none",
        timeout_worker_healthcheck=60,  # a worker that imports torch on a busy machine is not dead
        timeout_keep_alive=60,
    )


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
