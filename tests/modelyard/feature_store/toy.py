"""Features of a toy project, and writers of them in processes of their own: one import of Feast, then forks.

    python toy.py eight FOLDER     eight processes write eight projects to one registry at once
    python toy.py killed FOLDER    a writer is killed before each of its steps in the file system

Both print one line of JSON.
"""

import importlib
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from modelyard.errors import ModelyardError
from modelyard.feature_store.schema import Feature, FeatureView
from modelyard.feature_store.store import FeatureStore
from modelyard.startup.feast import load_feast

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
STEPS = {"os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "sqlite3.connect"}


def views() -> tuple[FeatureView, ...]:
    amounts = (
        Feature(name="amount_eur", dtype="float64", description="Amount so far.", unit="EUR"),
        Feature(name="n_visits", dtype="int64", description="Visits so far."),
        Feature(name="is_new", dtype="bool", description="First day."),
        Feature(name="last_shop", dtype="string", description="Shop of the last visit."),
    )
    steps = (
        Feature(name="risk_share", dtype="float32", description="Share of bad visits."),
        Feature(name="step_lengths", dtype="float32_list", description="The last two steps."),
        Feature(name="step_codes", dtype="int64_list", description="Codes of the last two steps."),
    )
    day = timedelta(days=1)
    return (
        FeatureView(
            name="customer", entity="customer_id", entity_dtype="int64", ttl=day, features=amounts, description="-"
        ),
        FeatureView(name="shop", entity="shop_id", entity_dtype="string", ttl=None, features=steps, description="-"),
    )


def frames(offset: float = 0.0) -> dict:
    """Two customers and two shops; customer 2's row has expired at the latest row's time, ``NOON``."""
    import polars as pl

    def times(*hours: int) -> pl.Series:
        return pl.Series([NOON + timedelta(hours=hour) for hour in hours], dtype=pl.Datetime("us", "UTC"))

    customer = {
        "customer_id": [1, 2, 1, 3],
        "event_time": times(-2, -25, 0, -23),
        "amount_eur": [offset + 1.5, offset + 2.0, offset + 3.25, float("nan")],
        "n_visits": [1, 2, None, 4],
        "is_new": [True, True, False, None],
        "last_shop": ["Ulm", "", None, "Köln"],
    }
    shop = {
        "shop_id": ["Ulm", "Köln", "Ulm"],
        "event_time": times(-1, -500, -3),
        "risk_share": [0.1, None, 0.3],
        "step_lengths": [[0.5, 1.5], None, [2.0, 3.0]],
        "step_codes": [[1, 2], [3, 4], None],
    }
    return {"customer": pl.DataFrame(customer), "shop": pl.DataFrame(shop)}


def store(project: str, folder: Path) -> FeatureStore:
    return FeatureStore(project, views(), folder=folder / project, registry=str(folder / "registry.db"))


def amount(opened: FeatureStore) -> float | None:
    """Customer 1's amount at noon, if joined and looked up are the same."""
    import polars as pl

    asked = pl.DataFrame({"customer_id": [1], "event_time": [NOON]})
    joined = opened.historical(asked, ["customer"])["amount_eur"].item()
    looked_up = opened.online("customer", [1])["amount_eur"].item()
    return joined if joined == looked_up else None


def in_a_fork(work, *arguments) -> int:
    """Starts ``work(*arguments)`` in a process of its own; polars has not started its threads in this one."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        work(*arguments)
        status = 0
    finally:
        os._exit(status)


def ended(process: int) -> int:
    """The exit status; minus the signal for one that was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def eight(folder: Path) -> None:
    def write(number: int, gate: int) -> None:
        os.read(gate, 1)  # until all have been started
        store(f"project_{number}", folder).write(frames(offset=number))

    gate, opener = os.pipe()
    processes = [in_a_fork(write, number, gate) for number in range(8)]
    os.write(opener, b"-" * 8)
    sys.stdout.write(json.dumps({"statuses": [ended(process) for process in processes]}))


def killed(folder: Path) -> None:
    """Prints for each step that the kill came before: the step, what was readable then, and after a re-run."""

    def write(last_step: int, offset: float) -> None:
        opened, steps = store("toy", folder), []

        def watch(event: str, _arguments: tuple) -> None:
            if event in STEPS:
                steps.append(event)
                if len(steps) == last_step:
                    (folder / "step").write_text(event)
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        opened.write(frames(offset))

    def read(name: str) -> None:
        try:
            found = amount(store("toy", folder))
        except ModelyardError as error:
            found = error.found
        (folder / name).write_text(json.dumps(found))

    assert ended(in_a_fork(write, 0, 0.0)) == 0
    seen, last_step = [], 0
    while True:
        last_step += 1
        if ended(in_a_fork(write, last_step, float(last_step))) != -signal.SIGKILL:
            break
        ended(in_a_fork(read, "after_kill"))
        again = ended(in_a_fork(write, 0, last_step + 0.5))
        ended(in_a_fork(read, "after_re_run"))
        after = [json.loads((folder / name).read_text()) for name in ("after_kill", "after_re_run")]
        left = [path.name for path in folder.iterdir() if path.suffix in {".part", ".old"}]
        seen.append([(folder / "step").read_text(), last_step, *after, again, left])
    sys.stdout.write(json.dumps(seen))


def import_all() -> None:
    """What a write and a read import, so that each fork need not."""
    load_feast()
    for name in ("passthrough_provider", "online_stores.sqlite", "compute_engines.local.compute", "registry.sql"):
        importlib.import_module(f"feast.infra.{name}")
    for name in ("feast.repo_operations", "modelyard.feature_store.asof", "filelock"):
        importlib.import_module(name)


if __name__ == "__main__":
    import_all()
    {"eight": eight, "killed": killed}[sys.argv[1]](Path(sys.argv[2]))
