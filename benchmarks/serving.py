"""Our server against ``mlflow models serve``: same model, same machine, same load, in turn.

1. Start: from the command to the first answered prediction.
2. Load: 16 connections that each send one request after the other.
3. Online features: our look-up against Feast's ``get_online_features`` on the same store.
4. With ``--swaps N``: promotions under load; no answer may be missing or mixed.
5. With ``--litserve``: the same model behind LitServe, for orientation (make bench-env).
6. With ``--soak``: a minute at 8 and at 64 connections; ends with status 1 if the server's memory is not flat.

    python benchmarks/serving.py [--data FOLDER] [--rounds 3] [--seconds 10] [--swaps 1000] [--litserve] [--soak]
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import psutil
from side_by_side import missing_competitor

from modelyard.catalog.features import FeastFeatures
from modelyard.model_registry.aliases import RegistryView, files_of
from modelyard.model_registry.versions import load_version
from modelyard.paths import data_directory
from modelyard.projects import load_project
from modelyard.serving.online_features import OnlineFeatures
from modelyard.tracking.mlflow_store import client

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PROJECT = "fraud_detection"
CONNECTIONS = 16
SOAKED_AT = (8, 64)
MAX_GROWTH = 0.1


@dataclass
class Contestant:
    """One server.

    Args:
        name: For the table.
        command: Starts it; ``{port}`` is filled in.
        route: Path of the prediction.
        body: One request.
    """

    name: str
    command: list[str]
    route: str
    body: bytes
    starts: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


def main() -> None:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="data folder of a run; default: a fresh `kedro run --env=ci`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--swaps", type=int, default=0, help="only promotions under load, this many")
    parser.add_argument("--soak", action="store_true", help="only the soak")
    parser.add_argument("--soak-seconds", type=float, default=60.0, help="of each number of connections")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of ours")
    parser.add_argument("--litserve", action="store_true")
    arguments = parser.parse_args()
    if arguments.litserve and (missing := missing_competitor("litserve")):
        raise SystemExit(missing)
    with tempfile.TemporaryDirectory() as temporary:
        data = arguments.data.absolute() if arguments.data else fresh_run(Path(temporary))
        os.environ["MODELYARD_DATA_DIR"] = str(data)
        if arguments.swaps:
            swap(arguments.swaps, data)
            return
        if arguments.soak:
            soak(arguments.soak_seconds, data)
            return
        promote(data, champions(data)[-1])
        contestants = [ours(arguments.workers), mlflows()]
        if arguments.litserve:
            contestants.append(litserve(Path(temporary), data))
        compare(contestants, arguments.rounds, arguments.seconds, data)
        look_up()


def fresh_run(folder: Path) -> Path:
    """A data folder with one registered version."""
    command = [str(BIN / "kedro"), "run", f"--pipeline={PROJECT}", "--env=ci", "--quiet"]
    subprocess.run(command, cwd=ROOT, env=environment(folder), check=True)
    return folder


def environment(data: Path) -> dict[str, str]:
    """Of every process that works on ``data``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
    path = f"{BIN}{os.pathsep}{kept['PATH']}"
    return kept | {"MODELYARD_DATA_DIR": str(data), "PATH": path}


def example() -> Any:
    """The project's example request."""
    return load_project(PROJECT).api.example.model_dump(mode="json")


def ours(workers: int) -> Contestant:
    """``kedro serve``."""
    command = [str(BIN / "kedro"), "serve", "--port", "{port}", "--project", PROJECT, "--workers", str(workers)]
    name = "kedro serve" + (f", {workers} workers" if workers > 1 else "")
    return Contestant(name, command, f"/v1/{PROJECT}/predict", json.dumps(example()).encode())


def mlflows() -> Contestant:
    """``mlflow models serve``."""
    model = f"models:/{PROJECT}@champion"
    command = [str(BIN / "mlflow"), "models", "serve", "-m", model, "--env-manager", "local", "-p", "{port}"]
    return Contestant(
        "mlflow models serve", command, "/invocations", json.dumps({"dataframe_records": [example()]}).encode()
    )


LITSERVE = """
import sys
from pathlib import Path

import litserve

from modelyard.model_registry.mlflow_model import load
from modelyard.projects import load_project


class Api(litserve.LitAPI):
    def setup(self, device):
        self.project = load_project(sys.argv[1])
        self.model = load(Path(sys.argv[2]))

    def decode_request(self, request):
        return self.project.api.request.model_validate(request)

    def batch(self, inputs):
        return inputs

    def predict(self, requests):
        api = self.project.api
        return api.encode(self.project.predict(self.model, api.decode(requests)))

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return output.model_dump(mode="json")


if __name__ == "__main__":
    api = Api(max_batch_size=16, batch_timeout=0.002)
    litserve.LitServer(api, accelerator="cpu").run(host="127.0.0.1", port=int(sys.argv[3]), generate_client_file=False)
"""


def litserve(folder: Path, data: Path) -> Contestant:
    """LitServe with micro-batches of 16."""
    script = folder / "lit.py"
    script.write_text(LITSERVE)
    with files_of(RegistryView(f"sqlite:///{data / 'mlflow.db'}").candidate(PROJECT, champions(data)[-1])) as model:
        command = [sys.executable, str(script), PROJECT, str(model), "{port}"]
    return Contestant("LitServe", command, "/predict", json.dumps(example()).encode())


def compare(contestants: list[Contestant], rounds: int, seconds: float, data: Path) -> None:
    """Starts and loads all in turn, then prints the table."""
    for turn in range(rounds):
        for one in contestants if turn % 2 == 0 else reversed(contestants):
            started = time.perf_counter()
            with running(one, data) as port:
                one.starts.append(time.perf_counter() - started)
                asyncio.run(load(port, one, min(2.0, seconds)))
                times = asyncio.run(load(port, one, seconds))
                one.rates.append(len(times) / seconds)
                one.p50.append(quantile(times, 0.5))
                one.p99.append(quantile(times, 0.99))
    print(f"{CONNECTIONS} connections, {seconds:g} s, {rounds} rounds in turn (medians)")
    print(f"  {'':<26} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'start s':>8}")
    for one in contestants:
        print(
            f"  {one.name:<26} {statistics.median(one.rates):>11.0f} {statistics.median(one.p50) * 1000:>8.1f}"
            f" {statistics.median(one.p99) * 1000:>8.1f} {statistics.median(one.starts):>8.1f}"
        )
    we, they = contestants[:2]
    print(
        f"  against {they.name}: requests/s x {ratio(we.rates, they.rates):.1f} (goal 4), "
        f"p99 x {ratio(we.p99, they.p99):.2f} (goal 0.1), start x {ratio(we.starts, they.starts):.2f} (goal 0.25)\n"
    )


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def quantile(values: list[float], share: float) -> float:
    """Of at least one value."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


@contextlib.contextmanager
def running(one: Contestant, data: Path, *options: str) -> Iterator[int]:
    """Starts a contestant and yields its port once it has answered a prediction."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = environment(data) | {"MLFLOW_TRACKING_URI": f"sqlite:///{data / 'mlflow.db'}"}
    variables["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / '.bench'}" if one.name == "LitServe" else str(ROOT)
    command = [part.format(port=port) for part in one.command] + list(options)
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 300
        while not asyncio.run(answers(port, one)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{one.name} did not start: {' '.join(command)}")
            time.sleep(0.05)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def answers(port: int, one: Contestant) -> bool:
    """Whether a prediction succeeds."""
    try:
        connection = await Connection.to(port)
        status, _, _ = await connection.ask(one.route, one.body)
        connection.close()
    except (OSError, EOFError, ValueError):
        return False
    return status == 200


async def load(port: int, one: Contestant, seconds: float, connections: int = CONNECTIONS) -> list[float]:
    """Keeps all connections busy; returns the seconds of every answer, each of which must be a 200."""
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def client() -> None:
        connection = await Connection.to(port)
        while (started := time.perf_counter()) < until:
            status, _, body = await connection.ask(one.route, one.body)
            if status != 200:
                raise SystemExit(f"{one.name} answered {status}: {body[:300]!r}")
            times.append(time.perf_counter() - started)
        connection.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return times


class Connection:
    """HTTP/1.1 with as little of its own as possible: the load generator shares the processor with the servers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> "Connection":
        """Opens one."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, route: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body of one POST."""
        head = f"POST {route} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)
        raw = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = raw.split("\r\n")
        headers = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines if ": " in line}
        content = await self._reader.readexactly(int(headers["content-length"]))
        return int(first.split(" ", 2)[1]), headers, content

    def close(self) -> None:
        """Closes it."""
        self._writer.close()


def look_up(n: int = 500) -> None:
    """Features of one customer and one terminal, by us and by Feast."""
    project = load_project(PROJECT)
    records = pl.read_parquet(data_directory() / "04_feature" / PROJECT / "customer_spending.parquet")
    terminals = pl.read_parquet(data_directory() / "04_feature" / PROJECT / "terminal_risk.parquet")
    pairs = list(
        zip(
            records["customer_id"].sample(n, with_replacement=True, seed=0),
            terminals["terminal_id"].sample(n, with_replacement=True, seed=0),
            strict=True,
        )
    )
    ours = OnlineFeatures(project)
    feast = FeastFeatures(project=PROJECT).load()._feast()
    names = [f"{view.name}:{feature.name}" for view in project.feature_views for feature in view.features]

    def we(customer: str, terminal: str) -> dict[str, Any]:
        moment = records["event_time"].max()
        request = SimpleNamespace(customer_id=customer, terminal_id=terminal, event_time=moment)
        return ours.known([request])[0].features

    def they(customer: str, terminal: str) -> dict[str, Any]:
        row = {"customer_id": customer, "terminal_id": terminal}
        return {name: values[0] for name, values in feast.get_online_features(names, [row]).to_dict().items()}

    for pair in pairs[:20]:
        if we(*pair) != {name: value for name, value in they(*pair).items() if not name.endswith("_id")}:
            raise SystemExit("the two look-ups disagree")
    seconds: dict[str, list[float]] = {"we": [], "they": []}
    for pair in pairs:
        for name, ask in (("we", we), ("they", they)):
            started = time.perf_counter()
            ask(*pair)
            seconds[name].append(time.perf_counter() - started)
    middle = {name: statistics.median(values) * 1000 for name, values in seconds.items()}
    print(f"online features of one customer and one terminal, {n} look-ups in turn (medians)")
    print(f"  ours {middle['we']:.2f} ms, Feast's get_online_features {middle['they']:.2f} ms:", end=" ")
    print(f"{middle['they'] / middle['we']:.1f} times as quick (goal 3)")


def champions(data: Path) -> list[str]:
    """Registered versions whose gate passed, the oldest first."""
    found = client().search_model_versions(f"name = '{PROJECT}'")
    good = [int(one.version) for one in found if one.tags.get("gate") == "passed"]
    if not good:
        raise SystemExit(f"{data} holds no version of {PROJECT} whose gate passed")
    return [str(version) for version in sorted(good)]


def promote(data: Path, version: str) -> None:
    """Moves the alias."""
    client().set_registered_model_alias(PROJECT, "champion", version)


def soak(seconds: float, data: Path) -> None:
    """Keeps connections busy and watches the memory of the server's process; it is flat within 10 %.

    Resident memory is compared after a quarter of the time, when pools and caches are filled, and at the end.
    """
    promote(data, champions(data)[-1])
    one, is_flat = ours(1), True
    print(f"{seconds:g} s at each number of connections, resident memory of the server's process")
    print(
        f"  {'connections':>11} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'MB first':>9} {'last':>6}"
        f" {'most':>6} {'growth':>7}"
    )
    with running(one, data, "--no-access-log") as port:
        server = server_process(port)
        for connections in SOAKED_AT:
            times, memory = asyncio.run(watched_load(port, one, seconds, connections, server))
            first, last = memory[len(memory) // 4], memory[-1]
            growth = last / first - 1
            is_flat &= growth <= MAX_GROWTH
            print(
                f"  {connections:>11} {len(times) / seconds:>11.0f} {quantile(times, 0.5) * 1000:>8.1f}"
                f" {quantile(times, 0.99) * 1000:>8.1f} {first / 1e6:>9.0f} {last / 1e6:>6.0f}"
                f" {max(memory) / 1e6:>6.0f} {growth:>+7.1%}",
                flush=True,
            )
    print(f"  memory is {'flat' if is_flat else 'not flat'} within {MAX_GROWTH:.0%}")
    sys.exit(0 if is_flat else 1)


def server_process(port: int) -> psutil.Process:
    """The process that listens on a port of this machine."""
    found = {one.pid for one in psutil.net_connections("tcp") if one.laddr.port == port and one.status == "LISTEN"}
    if len(found) != 1:
        raise SystemExit(f"{len(found)} processes listen on port {port}")
    return psutil.Process(found.pop())


async def watched_load(
    port: int, one: Contestant, seconds: float, connections: int, server: psutil.Process
) -> tuple[list[float], list[int]]:
    """Seconds of every answer, and the server's resident bytes four times a second."""
    memory: list[int] = []

    async def watch() -> None:
        while True:
            memory.append(server.memory_info().rss)
            await asyncio.sleep(0.25)

    watching = asyncio.create_task(watch())
    try:
        return await load(port, one, seconds, connections), memory
    finally:
        watching.cancel()


def swap(n_swaps: int, data: Path) -> None:
    """Swaps two versions under load; every answer must be a 200 and be what its version answers."""
    versions = two_versions(data)
    expected = {version: expected_answer(version, data) for version in versions}
    if len({json.dumps(answer) for answer in expected.values()}) < 2:
        raise SystemExit("the two versions answer the same; mixing could not be seen")
    promote(data, versions[0])
    contestant = ours(1)
    with running(contestant, data, "--poll-s", "0.05", "--no-access-log") as port:
        asked, wrong, waits = asyncio.run(swap_under_load(port, contestant, versions, expected, n_swaps, data))
    print(f"{n_swaps} swaps under load of 8 connections: {asked:,} answers, {len(wrong)} dropped or mixed {wrong[:3]}")
    print(f"  promotion to first answer: median {statistics.median(waits):.2f} s, longest {max(waits):.2f} s (goal 5)")
    sys.exit(1 if wrong else 0)


def two_versions(data: Path) -> list[str]:
    """Two good versions; the second is made from the first where there is only one, with other calibration."""
    found = champions(data)
    if len(found) >= 2:
        return found[-2:]
    raise SystemExit(
        f"{data} holds one version; make another: "
        f"kedro run --pipeline={PROJECT} --env=ci --params={PROJECT}.run.seed=1 with MODELYARD_DATA_DIR={data}"
    )


def expected_answer(version: str, data: Path) -> Any:
    """What a version answers to the example, offline."""
    project = load_project(PROJECT)
    predictions = project.predict(load_version(PROJECT, version), project.api.decode([project.api.example]))
    return project.api.encode(predictions)[0].model_dump(mode="json")


async def swap_under_load(
    port: int, one: Contestant, versions: list[str], expected: dict[str, Any], n_swaps: int, data: Path
) -> tuple[int, list[Any], list[float]]:
    """Answers in all, those that are wrong, and how long each promotion took."""
    asked, wrong, waits = 0, [], []
    stop = asyncio.Event()
    seen = ""

    async def client() -> None:
        nonlocal asked, seen
        connection = await Connection.to(port)
        while not stop.is_set():
            try:
                status, headers, body = await connection.ask(one.route, one.body)
            except (OSError, EOFError) as error:
                wrong.append(repr(error))
                connection = await Connection.to(port)
                continue
            asked += 1
            version = headers.get("x-model-version", "")
            if status != 200 or not is_close(json.loads(body), expected[version]):
                wrong.append((status, version, body[:200]))
            seen = version

    clients = [asyncio.create_task(client()) for _ in range(8)]
    for number in range(n_swaps):
        target = versions[(number + 1) % 2]
        await asyncio.to_thread(promote, data, target)
        started = time.perf_counter()
        while seen != target:
            await asyncio.sleep(0.005)
            if time.perf_counter() - started > 60:
                wrong.append(f"version {target} never came")
                break
        waits.append(time.perf_counter() - started)
    stop.set()
    await asyncio.gather(*clients)
    return asked, wrong, waits


def is_close(answer: Any, expected: Any) -> bool:
    """The same fields with the same values; numbers to six digits (batches of other sizes round differently)."""
    return answer.keys() == expected.keys() and all(
        abs(value - expected[name]) <= 1e-6 * max(1.0, abs(expected[name]))
        if isinstance(value, float)
        else value == expected[name]
        for name, value in answer.items()
    )


if __name__ == "__main__":
    if shutil.which("mlflow", path=str(BIN)) is None:
        raise SystemExit("mlflow is not installed: make run")
    main()
