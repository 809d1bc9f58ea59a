"""The default run talks to nobody: no process of it looks up a name or connects beyond this machine."""

import os
import subprocess
import sys
import textwrap

AUDIT = """
import os, sys

_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


def _watch(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
        remote = address[0] if isinstance(address, tuple) else None  # a string is a Unix socket
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        remote = arguments[0]
    else:
        return
    remote = remote.decode() if isinstance(remote, bytes) else remote
    with open(os.environ["NETWORK_LOG"], "a") as log:
        if remote and not str(remote).startswith(_LOOPBACK):
            log.write(f"{event} {remote} by {sys.argv}\\n")


sys.addaudithook(_watch)
with open(os.environ["NETWORK_LOG"] + ".processes", "a") as log:
    log.write(f"{os.getpid()}\\n")
"""


def test_no_process_of_a_default_run_goes_beyond_loopback(start_run, tmp_path):
    """Python's own audit events, in every Python process that the run starts (a sitecustomize on PYTHONPATH)."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(textwrap.dedent(AUDIT))
    log = tmp_path / "network.log"
    run = start_run(PYTHONPATH=str(site), NETWORK_LOG=str(log))
    assert run.end() == 0, run.said
    processes = (tmp_path / "network.log.processes").read_text().split()
    assert len(set(processes)) >= 3  # the run, its tracking writer, and a tuning worker
    assert not log.exists() or log.read_text() == ""


def test_the_watch_sees_what_it_should(tmp_path):
    """The test above can fail: a process that looks a name up is caught."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(textwrap.dedent(AUDIT))
    log = tmp_path / "network.log"
    # The event fires before the call; an address that does not parse never leaves the machine.
    code = (
        "import socket\ntry: socket.getaddrinfo('nobody.invalid', 9, flags=socket.AI_NUMERICHOST)\nexcept OSError: pass"
    )
    environment = os.environ | {"PYTHONPATH": str(site), "NETWORK_LOG": str(log)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert "nobody.invalid" in log.read_text()
