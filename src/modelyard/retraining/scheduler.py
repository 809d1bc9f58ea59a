"""Dagster's processes and its home folder; a lock admits one scheduler at a time."""

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

from modelyard.errors import BusyError
from modelyard.files import write_text, writing
from modelyard.paths import data_directory
from modelyard.retraining.retrain import ENVIRONMENT_VARIABLE, PARAMS_VARIABLE
from modelyard.servers import HOST, Server, free_port

PROJECT_TAG = "modelyard/project"
_KIND_TAG = "modelyard/kind"
RETRAINING_TAGS = {_KIND_TAG: "retraining"}

_INSTANCE = f"""\
# Written by `kedro schedule`.
telemetry: {{enabled: false}}
nux: {{enabled: false}}  # asks for a mail address
concurrency:
  runs:
    tag_concurrency_limits:
      - key: "{PROJECT_TAG}"
        value: {{applyLimitPerUniqueValue: true}}
        limit: 1
      - key: "{_KIND_TAG}"  # each one uses all cores
        value: "{RETRAINING_TAGS[_KIND_TAG]}"
        limit: 1
sensors: {{use_threads: true, num_workers: 4}}
schedules: {{use_threads: true, num_workers: 4}}
run_monitoring: {{enabled: true, start_timeout_seconds: 300, poll_interval_seconds: 60}}
# There are no assets.
auto_materialize: {{enabled: false, use_sensors: false}}
freshness: {{enabled: false}}
"""

_WORKSPACE = """\
# Written by `kedro schedule`.
load_from:
  - grpc_server: {{host: {host}, port: {port}, location_name: modelyard}}
"""

_DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


def dagster_home() -> Path:
    """Returns Dagster's folder, ``data/dagster``, with its configuration in it."""
    home = data_directory() / "dagster"
    path = home / "dagster.yaml"
    if not path.exists() or path.read_text(encoding="utf-8") != _INSTANCE:
        write_text(path, _INSTANCE)
    return home


def _make_tables(home: Path) -> None:
    """Creates Dagster's tables if they are missing, because two of its processes would collide while creating them."""
    if all((home / name).exists() for name in _DATABASES):
        return
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        instance.all_instigator_state()  # the first question opens the schedules' database, too


def dagster_servers(port: int, *, environment: str, params: str, option: str = "--port") -> list[Server]:
    """Returns Dagster's servers: a code server for our definitions, its webserver and its daemon.

    Without the code server, webserver and daemon would each import all projects in a process of their own, and the
    daemon would do so again every minute.

    Args:
        port: The webserver's port.
        environment: Kedro environment of the retrainings; empty: the default.
        params: ``--params`` of the retrainings.
        option: The command-line option that sets the port, for messages.
    """
    home = dagster_home()
    _make_tables(home)
    variables = {
        "DAGSTER_HOME": str(home),
        ENVIRONMENT_VARIABLE: environment,
        PARAMS_VARIABLE: params,
    }
    code_port = free_port()
    workspace = home / "workspace.yaml"
    write_text(workspace, _WORKSPACE.format(host=HOST, port=code_port))
    programs = Path(sys.executable).parent
    code = ("api", "grpc", "--host", HOST, "--port", str(code_port), "-m", "modelyard.retraining.definitions")
    web = ("--host", HOST, "--port", str(port), "-w", str(workspace))
    return [
        Server(
            name="Dagster code",
            command=(str(programs / "dagster"), *code),
            port=code_port,
            answers_at="",
            environment=variables,
        ),
        Server(
            name="Dagster",
            command=(sys.executable, "-m", "modelyard.retraining.dagster_pages", *web),
            port=port,
            option=option,
            answers_at="/server_info",
            environment=variables,
        ),
        Server(
            name="Dagster daemon",
            command=(str(programs / "dagster-daemon"), "run", "-w", str(workspace)),
            environment=variables,
        ),
    ]


@contextlib.contextmanager
def only_scheduler() -> Iterator[None]:
    """Holds the scheduler's lock for the length of the block; the operating system frees it however that ends.

    Raises:
        BusyError: Another scheduler holds it.
    """
    path = data_directory() / "locks" / "scheduler.lock"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                "Another scheduler runs on this data folder; a second one would only wait for it.",
                where=str(path),
                way_out="end the other `kedro up` or `kedro schedule`",
            ) from error
        yield
