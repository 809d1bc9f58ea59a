"""What generations cost: how busy the workers are, and how good the search is, for several generation sizes.

A fit here waits for as long as its parameters say and returns the Hartmann function of six parameters (minimum
-3.32237), so the schedule is measured apart from the load of the machine.

    python benchmarks/tuning.py [--sizes 1 2 4 8] [--trials 33] [--seeds 20]
"""

import argparse
import heapq
import importlib
import logging
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import polars as pl
from pydantic import Field

from modelyard.lineage.run_context import available_cores
from modelyard.parameters import Parameters
from modelyard.project import FitRun, Metrics, ModelFormat, Project
from modelyard.records import Column, Contract
from modelyard.stages.train import RunParameters
from modelyard.stages.tune import make_tune
from modelyard.tuning.parameters import TuneParameters
from modelyard.tuning.study import generations, sample_generation

MINIMUM = -3.32237

# Hartmann 6: https://www.sfu.ca/~ssurjano/hart6.html
ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


class Point(Parameters):
    """A point in the unit cube."""

    x0: float = Field(0.5, ge=0, le=1, description="Also sets the duration: a fit takes 0.2 to 0.6 s.")
    x1: float = Field(0.5, ge=0, le=1, description="Second coordinate.")
    x2: float = Field(0.5, ge=0, le=1, description="Third coordinate.")
    x3: float = Field(0.5, ge=0, le=1, description="Fourth coordinate.")
    x4: float = Field(0.5, ge=0, le=1, description="Fifth coordinate.")
    x5: float = Field(0.5, ge=0, le=1, description="Sixth coordinate.")


@dataclass
class Fitted:
    """A model that knows nothing but where it was fitted."""

    params: Point


def duration_s(params: Point) -> float:
    """Seconds that a fit takes."""
    return 0.2 + 0.4 * params.x0


def hartmann(params: Point) -> float:
    """The Hartmann function at a point."""
    x = np.array([getattr(params, f"x{i}") for i in range(6)])
    return float(-(ALPHA * np.exp(-(A * (x - P) ** 2).sum(axis=1))).sum())


def fit(examples: pl.DataFrame, params: Point, run: FitRun) -> Fitted:
    """Waits."""
    time.sleep(duration_s(params))
    return Fitted(params)


def search_space(trial: optuna.Trial, params: Point) -> Point:
    """The unit cube."""
    return params.model_copy(update={f"x{i}": trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(6)})


def predict(model: Fitted, examples: pl.DataFrame) -> pl.DataFrame:
    """The function's value, for every row."""
    return pl.DataFrame({"prediction": [hartmann(model.params)] * examples.height})


def score(rows: pl.DataFrame, params: Parameters) -> dict[str, float]:
    """The function's value."""
    return {"value": float(rows["prediction"][0])}


def save(model: Fitted, folder: Path) -> None:
    """Writes the point."""
    (folder / "point.json").write_text(model.params.model_dump_json())


def load(folder: Path) -> Fitted:
    """Reads the point."""
    return Fitted(Point.model_validate_json((folder / "point.json").read_text()))


def project(name: str = "hartmann") -> Project:
    """A project of which only what tuning needs is there."""
    nothing: Any = None
    key = Column(name="key", dtype="int64", description="Row.")
    return Project(
        name=name,
        title="Hartmann",
        contract=Contract(columns=(key,), key="key", event_time="at", target="y"),
        ingest=nothing,
        expectations=nothing,
        feature_views=(),
        derive_features=nothing,
        fit=fit,
        search_space=search_space,
        model_format=ModelFormat(save=save, load=load),
        predict=predict,
        metrics=Metrics(score=score, primary="value", greater_is_better=False, floor=nothing),
        figures=nothing,
        api=nothing,
        schedule="",
    )


def busy_share(size: int, n_trials: int) -> tuple[float, float]:
    """Measured share of the workers' time in which they fit, and the best that a schedule without generations gives."""
    examples = pl.DataFrame({"key": [0, 1], "split": ["train", "valid"]})
    tune = make_tune(project(), "tuning:project")
    tune_params = TuneParameters(n_trials=n_trials, n_parallel=size, refit=False)
    parameters = Point(), tune_params, RunParameters(), Parameters()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        _, summary = tune(
            examples,
            pl.DataFrame(),
            Fitted(Point()),
            {"valid": {"value": hartmann(Point())}},
            *parameters,
            Path(folder),
        )
        wall = time.perf_counter() - start
    fits = [duration_s(Point(**trial["params"])) for trial in summary["trials"][1:]]
    n_workers = min(size, available_cores())
    return sum(fits) / (n_workers * wall), sum(fits) / (n_workers * greedy(fits, n_workers))


def greedy(fits: list[float], n_workers: int) -> float:
    """Seconds until all is done if each free worker takes the next fit at once."""
    free = [0.0] * n_workers
    for seconds in fits:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def regret(size: int, seed: int, n_trials: int) -> float:
    """How far the best of a study lies above the minimum."""
    study = optuna.create_study()
    first = {f"x{i}": 0.5 for i in range(6)}
    cube = dict.fromkeys(first, optuna.distributions.FloatDistribution(0.0, 1.0))
    study.add_trial(optuna.trial.create_trial(value=hartmann(Point()), params=first, distributions=cube))
    for index, numbers in enumerate(generations(n_trials, size), start=1):
        drawn = sample_generation(
            project(), Point(), study.trials, size=len(numbers), seed=1000 * seed + index, n_random_trials=10
        )
        for trial in drawn:
            value = hartmann(Point(**trial.params))
            study.add_trial(optuna.trial.create_trial(value=value, params=trial.params, distributions=cube))
    return float(study.best_value) - MINIMUM


def main() -> None:
    """Prints one line for each generation size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[1, 2, 4, 8], help="fits of a generation")
    parser.add_argument("--trials", type=int, default=33, help="the trained model, and a multiple of each size")
    parser.add_argument("--seeds", type=int, default=20, help="studies whose regret is looked at, at least two")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    print(f"{arguments.trials} trials, {available_cores()} cores; a fit takes 0.2 to 0.6 s; regret over", end=" ")
    print(f"{arguments.seeds} seeds")
    print("generation  workers  busy share  without generations  regret: median [quartiles]")
    for size in arguments.sizes:
        busy, best = busy_share(size, arguments.trials)
        regrets = [regret(size, seed, arguments.trials) for seed in range(arguments.seeds)]
        low, middle, high = statistics.quantiles(regrets, n=4)
        workers = min(size, available_cores())
        print(f"{size:10}  {workers:7}  {busy:10.2f}  {best:19.2f}  {middle:.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    # The workers import this file by name, so its classes must not belong to the script.
    importlib.import_module("tuning").main()
