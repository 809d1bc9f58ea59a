"""The life of a model as one story: it serves, the world drifts, an alarm, a retraining, a better version serves.

    make demo-drift        # or: python benchmarks/demo_drift.py [--folder data/demo_drift]

Everything is the real thing: `kedro run`, `kedro serve`, `kedro monitor`, the retraining's Dagster job and the
promotion policy `auto`; only the transactions are simulated, and a month and a half passes in minutes. It leaves
`story.png`, the metric over time with the events marked.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import httpx
import matplotlib as mpl
import matplotlib.pyplot as plt
import polars as pl

from modelyard.model_registry.promotion import promote
from modelyard.model_registry.versions import load_version
from modelyard.paths import repository
from modelyard.projects import load_project
from modelyard.retraining import history
from modelyard.retraining.definitions import retraining_job
from modelyard.retraining.retrain import options
from modelyard.retraining.run_requests import requests
from modelyard.retraining.scheduler import dagster_home
from modelyard.retraining.signals import champions, situations
from modelyard.tasks.ranking import average_precision
from pipelines.fraud_detection.features import FEATURE_VIEWS, FeatureParameters, derive_features
from pipelines.fraud_detection.serve import FraudRequest
from pipelines.fraud_detection.simulator import simulate
from pipelines.fraud_detection.world import SimulationParameters

mpl.use("agg")

PROJECT = "fraud_detection"
_TRAIN_DAYS, _QUIET_DAYS, _DRIFT_DAYS, _AFTER_DAYS = 66, 7, 28, 7
_FIRST_DAY = date(2024, 1, 1)
_BATCH_ROWS = 500
Say = Callable[[str], None]
_POLICY = f"""\
projects:
  {PROJECT}: {{policy: auto, triggers: [drift, new_data]}}
retraining: {{retry_delay_s: 5}}
"""


@dataclass
class Story:
    """What happened.

    Args:
        answers: Every served transaction with its score, ``version``, label and ``event_time``.
        events: When (in the story's time) what happened.
        alarms: Monitor's alarms: before the drift, and after it.
        asked: What the scheduler was asked for, round by round.
        champion_after: Version with the alias at the end.
        outcome: The journal's last line.
        after: Average precision on the last drifted week: of version 1, and of what was served.
    """

    answers: list[pl.DataFrame] = field(default_factory=list)
    events: list[tuple[datetime, str]] = field(default_factory=list)
    alarms: list[list[str]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    champion_after: str = ""
    outcome: dict = field(default_factory=dict)
    after: tuple[float, float] = (float("nan"), float("nan"))


def worlds(n_customers: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The world before, and the same customers after much has changed; with their features, ordered by time."""
    before_days = _TRAIN_DAYS + _QUIET_DAYS
    drifted_days = _DRIFT_DAYS + _AFTER_DAYS
    size = {"n_customers": n_customers, "n_terminals": n_customers * 3 // 2, "fraud_share": 0.03}
    before = SimulationParameters(**size, n_days=before_days, start_date=_FIRST_DAY)
    # The second half of a world that drifts all the way follows on the first world.
    start = _FIRST_DAY + timedelta(days=before_days - drifted_days)
    after = SimulationParameters(**size, n_days=2 * drifted_days, start_date=start, drift=1.0)
    tables = []
    for number, params in enumerate((before, after)):
        records = simulate(params).with_columns(
            pl.format("{}-{}", pl.lit(number), "transaction_id").alias("transaction_id")
        )
        views = derive_features(
            records.with_columns(label_delay_days=pl.lit(7, dtype=pl.Int64), split=pl.lit("train")), FeatureParameters()
        )
        for view in FEATURE_VIEWS:
            records = records.join(views[view.name], on=[view.entity, "event_time"], how="left", maintain_order="left")
        tables.append(records)
    return tables[0], tables[1].filter(pl.col("event_time") >= _day(before_days))


def tell(folder: Path, n_customers: int, say: Say, served_share: float = 1.0) -> Story:
    """Lets the story happen in ``folder``, which becomes the data folder.

    Args:
        folder: Empty.
        n_customers: Of the simulated world.
        say: Called with each line of the narrative.
        served_share: Share of the customers whose transactions go through the server.
    """
    story, own = Story(), folder / "own"
    own.mkdir(parents=True)
    (folder / "promotion.yml").write_text(_POLICY)
    before, after = worlds(n_customers)
    with _environment(folder, own):
        _deliver(own, before.filter(pl.col("event_time") < _day(_TRAIN_DAYS)))
        say(f"Day {_TRAIN_DAYS}: the first model is trained on the first {_TRAIN_DAYS} days of labelled transactions.")
        _kedro("run", f"--pipeline={PROJECT}", "--env=ci", f"--params={os.environ['MODELYARD_RETRAINING_PARAMS']}")
        promote(PROJECT, "1", by="a person who read its card")
        _note(story, say, _TRAIN_DAYS, "A person promotes version 1.")
        situations([PROJECT], history.clock(), options=options())  # the scheduler begins to watch
        with _server(folder, "1") as url:
            quiet = before.filter(pl.col("event_time") >= _day(_TRAIN_DAYS))
            _month(story, say, url, own, quiet, served_share, "A week as before")
            story.asked.append(_scheduler_looks(story, say, quiet))
            drifted = after.filter(pl.col("event_time") < _day(_TRAIN_DAYS + _QUIET_DAYS + _DRIFT_DAYS))
            _note(story, say, _TRAIN_DAYS + _QUIET_DAYS, "The world has changed.")
            _month(story, say, url, own, drifted, served_share, "Four weeks in which amounts grow and frauds shift")
            story.asked += [_scheduler_looks(story, say, drifted), _scheduler_looks(story, say, drifted)]
            _last_week(story, say, url, after.filter(pl.col("event_time") >= drifted["event_time"].max()), served_share)
    return story


def _month(story: Story, say: Say, url: str, own: Path, rows: pl.DataFrame, served_share: float, title: str) -> None:
    """A stretch of requests; then their labels arrive, and the monitor looks at what was served."""
    since = datetime.now(UTC)
    answers = _stream(url, rows, served_share)
    story.answers.append(answers)
    say(f"{title}: {answers.height:,} requests, average precision {_quality(answers):.3f}.")
    _late_labels(answers)
    _deliver(own, rows)
    arguments = ("--since", since.isoformat(), "--until", (datetime.now(UTC) + timedelta(seconds=1)).isoformat())
    _kedro("monitor", f"--pipeline={PROJECT}", *arguments, accepted=(0, 10))
    verdict = json.loads((_data() / "08_reporting" / PROJECT / "monitoring" / "latest.json").read_text())
    story.alarms.append(verdict["alarms"])
    day = (rows["event_time"].max() - _day(0)).days + 1
    if verdict["alarms"]:
        _note(story, say, day, f"The monitor alarms: {len(verdict['alarms'])} findings.")
        for alarm in verdict["alarms"][:4]:
            say(f"    {alarm}")
    else:
        say("The labels arrive; the monitor finds nothing.")


def _scheduler_looks(story: Story, say: Say, rows: pl.DataFrame) -> int:
    """The drift sensor looks; what it asks for is run as Dagster's daemon would run it. Returns how much that is."""
    os.environ["DAGSTER_HOME"] = str(dagster_home())
    with dg.DagsterInstance.get() as instance:
        found = [one for one in requests(instance, [PROJECT], ("drift",)) if isinstance(one, dg.RunRequest)]
        for request in found:
            say(f"The drift sensor asks for a retraining: {request.tags['modelyard/why'].partition(' (')[0]}.")
            tags = {"dagster/run_key": request.run_key, **request.tags}
            config = {**(request.run_config or {}), "loggers": {"console": {"config": {"log_level": "ERROR"}}}}
            retraining_job(PROJECT).execute_in_process(config, instance=instance, tags=tags)
    if not found:
        say("The drift sensor looks, and asks for nothing.")
        return 0
    story.outcome, story.champion_after = dict(history.read(PROJECT).events[-1]), champions().get(PROJECT, "")
    verb = "promotes" if story.outcome.get("is_promoted") else "does not promote"
    day = (rows["event_time"].max() - _day(0)).days + 1
    _note(story, say, day, f"Retrained; the policy {verb} version {story.outcome.get('version')}.")
    say(f"    {story.outcome.get('why')}")
    return len(found)


def _last_week(story: Story, say: Say, url: str, rows: pl.DataFrame, served_share: float) -> None:
    """The new champion answers; the old one is asked about the same transactions on the side."""
    _wait_for(url, story.champion_after)
    answers = _stream(url, rows, served_share)
    story.answers.append(answers)
    project = load_project(PROJECT)
    chosen = _chosen(rows, served_share)
    old = chosen.with_columns(project.predict(load_version(PROJECT, "1"), chosen)["score"])
    story.after = (_quality(old), _quality(answers))
    say(
        f"A week later: version {story.champion_after} answers with average precision {story.after[1]:.3f};"
        f" version 1 would have had {story.after[0]:.3f} on the same transactions."
    )


def picture(story: Story, path: Path) -> None:
    """Average precision of what was served, in steps of a few days, by version, with the events marked."""
    answers = pl.concat(story.answers, how="diagonal_relaxed").sort("event_time")
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for (version,), part in sorted(answers.group_by("version")):
        steps = [
            (step[0] + timedelta(days=1.75), _quality(rows))
            for step, rows in sorted(part.group_by(pl.col("event_time").dt.truncate("84h")))
            if rows["is_fraud"].sum() >= 5
        ]
        axes.plot(*zip(*steps, strict=True), marker="o", label=f"served by version {version}")
    first, last = answers["event_time"].min(), answers["event_time"].max()
    for number, (at, what) in enumerate(story.events):
        is_late = at > first + (last - first) / 2
        axes.axvline(at, color="0.6", linewidth=0.8, linestyle="--")
        axes.annotate(
            what,
            (at, 0.02 + 0.055 * (number % 5)),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if is_late else 4, 0),
            textcoords="offset points",
            horizontalalignment="right" if is_late else "left",
            fontsize=8,
        )
    axes.set(ylim=(0, 1), ylabel="average precision", title="Card fraud detection: metric of what was served")
    axes.xaxis.set_major_formatter(mpl.dates.DateFormatter("%d %b"))
    axes.legend(loc="upper center", frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _stream(url: str, rows: pl.DataFrame, share: float) -> pl.DataFrame:
    """Sends transactions in their order; returns them with ``score``, ``version`` and the label's key."""
    rows = _chosen(rows, share)
    fields = [name for name in FraudRequest.model_fields if name in rows.columns]
    parts = []
    with httpx.Client(base_url=url, timeout=60) as client:
        for part in rows.iter_slices(_BATCH_ROWS):
            instances = json.loads(part.select(fields).with_columns(_iso()).write_json())
            sent = [{name: value for name, value in one.items() if value is not None} for one in instances]
            answer = client.post(f"/v1/{PROJECT}/predict", json={"instances": sent})
            answer.raise_for_status()
            scores = [one["fraud_probability"] for one in answer.json()["predictions"]]
            parts.append(
                part.with_columns(
                    score=pl.Series(scores),
                    version=pl.lit(answer.headers["x-model-version"]),
                    request_id=pl.lit(answer.headers["x-request-id"]),
                    row=pl.int_range(pl.len()),
                )
            )
    return pl.concat(parts)


def _chosen(rows: pl.DataFrame, share: float) -> pl.DataFrame:
    customer = pl.col("customer_id").cast(pl.Int64)  # the simulated ones are numbers
    return rows.filter(customer < customer.max() * share + 1)


def _iso() -> pl.Expr:
    return pl.col("event_time").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")


def _late_labels(answers: pl.DataFrame) -> None:
    folder = _data() / "07_model_output" / PROJECT / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    answers.select("request_id", "row", "is_fraud").write_parquet(folder / f"{len(list(folder.iterdir()))}.parquet")


def _deliver(own: Path, rows: pl.DataFrame) -> None:
    """Labelled transactions arrive where the project's own data lie."""
    kept = ("transaction_id", "event_time", "customer_id", "terminal_id", "amount", "is_fraud")
    rows.select(kept).write_parquet(own / f"{rows['event_time'].min():%Y%m%d}.parquet")


def _quality(answers: pl.DataFrame) -> float:
    return float(average_precision(answers["is_fraud"].to_numpy(), answers["score"].to_numpy()))


@contextlib.contextmanager
def _environment(folder: Path, own: Path) -> Iterator[None]:
    """The data folder, the policy and the retrainings' options, for this process and those it starts."""
    params = ("ingest.source=own", f"ingest.path={own}", "tune.n_trials=1")
    changed = {
        "MODELYARD_DATA_DIR": str(folder),
        "MODELYARD_PROMOTION_POLICY": str(folder / "promotion.yml"),
        "MODELYARD_RETRAINING_ENV": "ci",
        "MODELYARD_RETRAINING_PARAMS": ",".join(f"{PROJECT}.{one}" for one in params),
    }
    before = {name: os.environ.pop(name, None) for name in (*changed, "MLFLOW_TRACKING_URI", "DAGSTER_HOME")}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _server(folder: Path, version: str) -> Iterator[str]:
    command = [sys.executable, "-m", "kedro", "serve", "--port", "0", "--no-access-log"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=repository(), stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    try:
        url = (process.stdout.readline() if process.stdout else "").split("/ ")[0]
        _wait_for(url, version)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(url: str, version: str, timeout_s: float = 120) -> None:
    deadline, found = time.monotonic() + timeout_s, None
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError, KeyError):
            found = httpx.get(f"{url}/readyz", timeout=10).json()["projects"][PROJECT].get("version")
            if found == version:
                return
        time.sleep(0.2)
    raise SystemExit(f"version {version} does not serve, but {found}")


def _kedro(*arguments: str, accepted: tuple[int, ...] = (0,)) -> None:
    command = [sys.executable, "-m", "kedro", *arguments]
    done = subprocess.run(command, cwd=repository(), capture_output=True, text=True, check=False)
    if done.returncode not in accepted:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )


def _data() -> Path:
    return Path(os.environ["MODELYARD_DATA_DIR"])


def _day(number: int) -> datetime:
    return datetime(_FIRST_DAY.year, _FIRST_DAY.month, _FIRST_DAY.day, tzinfo=UTC) + timedelta(days=number)


def _note(story: Story, say: Say, day: int, what: str) -> None:
    story.events.append((_day(day), what))
    say(f"Day {day}: {what}")


def main() -> None:
    """Tells the story and draws it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=repository() / "data" / "demo_drift")
    parser.add_argument("--customers", type=int, default=600)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    story = tell(arguments.folder.absolute(), arguments.customers, print)
    path = arguments.folder / "story.png"
    picture(story, path)
    print(f"\nPicture: {path}\nThe versions: MODELYARD_DATA_DIR={arguments.folder} kedro up")


if __name__ == "__main__":
    main()
