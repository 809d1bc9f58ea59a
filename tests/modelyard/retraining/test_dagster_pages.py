"""Dagster's webserver, as kedro up starts it, answers only what is meant for this machine."""

import contextlib
import os
import re
import subprocess
import time

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from modelyard.paths import repository
from modelyard.retraining.dagster_pages import is_trusted
from modelyard.retraining.scheduler import dagster_servers
from modelyard.servers import free_port


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Host and port of a running webserver without projects."""
    home = tmp_path_factory.mktemp("dagster")
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_DATA_DIR", str(home))
        (pages,) = [one for one in dagster_servers(port, environment="", params="") if one.name == "Dagster"]
    (home / "workspace.yaml").write_text("load_from: []\n")
    command = [*pages.command[: pages.command.index("-w")], "-w", str(home / "workspace.yaml")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=repository(), env=os.environ | pages.environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/server_info").status_code == 200:
                    break
            assert process.poll() is None, (home / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (home / "log").read_text()[-3000:]
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def ask(address, **headers):
    return httpx.post(f"http://{address}/graphql", json={"query": "{ version }"}, headers=headers)


def test_the_page_and_its_questions_are_answered(address):
    port = address.partition(":")[2]
    page = httpx.get(f"http://{address}/", follow_redirects=True)
    assert page.status_code == 200
    scripts = re.findall(r'src="(/_next/[^"]+[.]js)"', page.text)
    assert scripts
    assert httpx.get(f"http://{address}{scripts[0]}").status_code == 200
    for host in (address, f"localhost:{port}", f"[::1]:{port}"):
        assert ask(address, Host=host, Origin=f"http://{host}").json()["data"]["version"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:3000"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_other_hosts_and_origins_are_refused_on_every_path(address, headers):
    assert ask(address, **headers).status_code == 400
    assert httpx.get(f"http://{address}/", headers=headers).status_code == 400
    assert httpx.get(f"http://{address}/server_info", headers=headers).status_code == 400


def test_the_pages_websocket_is_open_to_the_page_alone(address):
    url = f"ws://{address}/graphql"
    with connect(url, origin=f"http://{address}", subprotocols=["graphql-ws"]) as page:
        page.send('{"type": "connection_init", "payload": {}}')
        assert '"connection_ack"' in page.recv(timeout=30)
    with pytest.raises(InvalidStatus, match="403"):
        connect(url, origin="https://evil.example", subprotocols=["graphql-ws"])


def test_what_is_no_address_is_not_trusted():
    assert not is_trusted({})
    assert not is_trusted({"host": "[::1"})
    assert not is_trusted({"host": "evil.example@localhost.evil.example"})
    assert is_trusted({"host": "LOCALHOST:3000"})
