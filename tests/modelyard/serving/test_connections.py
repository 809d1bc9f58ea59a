"""The door of a real server: half-sent requests, clients that do not read, crowds, and who may listen where."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time

import pytest

from modelyard.projects import load_project
from tests.modelyard.serving.conftest import PROJECT, ROOT, running_server

EXAMPLE = json.dumps(load_project(PROJECT).api.example.model_dump(mode="json")).encode()
HEAD = f"POST /v1/{PROJECT}/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode()


@pytest.fixture(scope="module")
def server(registry, tmp_path_factory):
    registry.promote(1)
    folder = tmp_path_factory.mktemp("server")
    options = ("--client-timeout-s", "1", "--timeout-s", "2", "--max-connections-per-address", "40")
    with running_server(registry.data, folder, *options) as running:
        running.wait_for(1)
        yield running


def address(server):
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return host, int(port)


@contextlib.contextmanager
def connections(server, n, data=b""):
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(address(server), timeout=20)) for _ in range(n)]
        for one in opened:
            one.sendall(data)
        yield opened


def answer_of(connection):
    """Everything until the server closes, empty if it says nothing."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def is_answered(server):
    return server.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "data",
    [b"", b"POST /v1", HEAD, HEAD + b"content-length: 100\r\n", b"\r\n"],
    ids=["nothing", "line", "head", "length", "blank"],
)
def test_a_head_that_does_not_come_ends_the_connection(server, data):
    with connections(server, 30, data) as opened:
        started = time.monotonic()
        assert is_answered(server)
        assert {answer_of(one) for one in opened} == {b""}
        assert time.monotonic() - started < 5


def test_a_body_that_does_not_come_is_504(server):
    with connections(server, 20, HEAD + b"content-length: 1000\r\n\r\n{") as opened:
        assert is_answered(server)
        for one in opened:
            assert one.recv(65_536).startswith(b"HTTP/1.1 504")


def test_a_head_that_drips_ends_the_connection(server):
    with connections(server, 1) as (one,):
        started = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - started < 10:
                one.sendall(b"x" if time.monotonic() - started > 0.2 else b"POST /")
                time.sleep(0.1)
        assert time.monotonic() - started < 5


def test_beyond_the_connections_of_one_address_is_503_and_they_become_free(server):
    server.client.close()
    with connections(server, 60) as opened:
        refused = [one for one in opened[40:] if answer_of(one).startswith(b"HTTP/1.1 503")]
        assert len(refused) == 20
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(*address(server), timeout=5)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise AssertionError("no place became free")


def test_with_few_descriptors_a_crowd_stops_nobody_for_long(registry, tmp_path):
    registry.promote(1)
    code = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); "
    code += "from kedro.framework.cli.cli import main; import sys; sys.argv[0] = 'kedro'; main()"
    with running_server(
        registry.data,
        tmp_path,
        *("--client-timeout-s", "2", "--max-connections-per-address", "1000"),
        python=("-c", code),
    ) as server:
        server.wait_for(1)
        with connections(server, 400, b"POST /v1"):
            time.sleep(3)
            connection = http.client.HTTPConnection(*address(server), timeout=10)
            connection.request("POST", f"/v1/{PROJECT}/predict", EXAMPLE, {"content-type": "application/json"})
            assert connection.getresponse().status == 200


@pytest.mark.parametrize("size", [9_000_000, 40_000_000, 200_000_000])
@pytest.mark.parametrize("expects", [False, True])
def test_any_client_sees_the_413_of_a_large_upload(server, size, expects):
    connection = http.client.HTTPConnection(*address(server), timeout=30)
    connection.putrequest("POST", f"/v1/{PROJECT}/predict")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(size))
    if expects:
        connection.putheader("expect", "100-continue")
    connection.endheaders()
    if not expects:
        for _ in range(size // 1_000_000):
            connection.send(b" " * 1_000_000)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    assert answer.status == 413
    assert len(body["detail"]) < 200
    connection.close()


def test_two_servers_never_share_a_port(registry, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"MODELYARD_DATA_DIR": str(registry.data)}
    command = [sys.executable, "-m", "kedro", "serve", "--port", str(port)]
    started = [
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        deadline = time.monotonic() + 60
        while not (ended := [one for one in started if one.poll() is not None]):
            assert time.monotonic() < deadline, "both live"
            time.sleep(0.1)
        assert ended[0].returncode == 5
        assert f"Port {port} of 127.0.0.1 is in use" in ended[0].stderr.read()
    finally:
        for one in started:
            one.kill()
            one.wait()
            one.stderr.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # what the test is about
def test_without_keys_it_listens_on_loopback_only(host, monkeypatch):
    monkeypatch.delenv("MODELYARD_API_KEYS", raising=False)
    command = [sys.executable, "-m", "kedro", "serve", "--port", "0", "--host", host]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert "no API key is set" in ended.stderr
    assert "MODELYARD_API_KEYS" in ended.stderr
