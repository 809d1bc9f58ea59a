"""A project whose fit takes milliseconds; worker processes import it by name. Faults are planted from the environment.

``TOY_FAULTS`` maps a fit's folder (``trial_0003``, ``refit_0000``, ``*``) to a fault: ``sleep``, ``slow``, ``raise``,
``nan``, ``full``, ``kill once``, ``kill always``. ``TOY_TRACE`` names a file that gets a line for each computed step.
"""

import errno
import json
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.project import FitRun, Metrics, ModelFormat, Project
from modelyard.records import Column, Contract
from modelyard.stages.train import RunParameters
from modelyard.stages.tune import make_tune
from modelyard.tuning.parameters import TuneParameters

if TYPE_CHECKING:
    import optuna

LOADER = "tests.modelyard.stages.toy_tuning:load"
KILL_STEP = 3


CONTRACT = Contract(
    columns=(
        Column(name="key", dtype="string", description="Row."),
        Column(name="y", dtype="float64", description="Target."),
    ),
    key="key",
    event_time="at",
    target="y",
)


class ScoreParameters(Parameters):
    scale: float = Field(1.0, gt=0, description="Multiplies the error.")


class ToyParameters(Parameters):
    learning_rate: float = Field(0.05, gt=0, lt=2, description="Step size.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Share of the last step that is repeated.")
    loss: Literal["squared", "absolute"] = Field("squared", description="What is minimised.")
    n_steps: int = Field(8, ge=1, description="Steps of gradient descent.")


@dataclass
class ToyModel:
    weights: np.ndarray
    n_rows: int
    params: ToyParameters


def examples() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(65, 2))
    y = x @ np.array([1.5, -0.7]) + 0.05 * rng.normal(size=65)
    split = ["train"] * 40 + ["valid"] * 20 + ["test"] * 5
    return pl.DataFrame({"key": [f"row {i}" for i in range(65)], "a": x[:, 0], "b": x[:, 1], "y": y, "split": split})


def fit(examples: pl.DataFrame, params: ToyParameters, run: FitRun) -> ToyModel:
    fault = _fault(run.folder.parent)
    train, valid = (examples.filter(pl.col("split") == name) for name in ("train", "valid"))
    checkpoint = run.folder / "state.json"
    done, weights, speed = 0, np.zeros(2), np.zeros(2)
    if checkpoint.exists():
        done, *arrays = json.loads(checkpoint.read_text())
        weights, speed = (np.array(array) for array in arrays)
    x, y = train.select("a", "b").to_numpy(), train["y"].to_numpy()
    for step in range(done, params.n_steps):
        residual = x @ weights - y
        slope = x.T @ (residual if params.loss == "squared" else np.sign(residual)) / len(y)
        speed = params.momentum * speed - params.learning_rate * slope
        weights = weights + speed
        _trace(run.folder.parent.name, step)
        if valid.height:
            run.report(step, _rmse(valid, weights))
        _write(checkpoint, json.dumps([step + 1, weights.tolist(), speed.tolist()]))
        _plant(fault, step, run.folder)
    return ToyModel(np.full(2, np.nan) if fault == "nan" else weights, train.height, params)


def search_space(trial: "optuna.Trial", params: ToyParameters) -> ToyParameters:
    return params.model_copy(
        update={
            "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1.0, log=True),
            "momentum": trial.suggest_float("momentum", 0.0, 0.95),
            "loss": trial.suggest_categorical("loss", ["squared", "absolute"]),
        }
    )


def predict(model: ToyModel, examples: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({"prediction": examples.select("a", "b").to_numpy() @ model.weights})


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    return {"rmse": params.scale * float(((rows["prediction"] - rows["y"]) ** 2).mean() ** 0.5), "n": rows.height}


def save(model: ToyModel, folder: Path) -> None:
    content = {"weights": model.weights.tolist(), "n_rows": model.n_rows, "params": model.params.model_dump()}
    (folder / "model.json").write_text(json.dumps(content))


def load_model(folder: Path) -> ToyModel:
    content = json.loads((folder / "model.json").read_text())
    return ToyModel(np.array(content["weights"]), content["n_rows"], ToyParameters(**content["params"]))


def load(name: str) -> Project:
    nothing: Any = None
    return Project(
        name=name,
        title="Toy",
        contract=CONTRACT,
        ingest=nothing,
        expectations=nothing,
        feature_views=(),
        derive_features=nothing,
        fit=fit,
        search_space=search_space,
        model_format=ModelFormat(save=save, load=load_model),
        predict=predict,
        metrics=Metrics(score=score, primary="rmse", greater_is_better=False, floor=nothing),
        figures=nothing,
        api=nothing,
        schedule="0 3 * * *",
    )


def train(folder: Path) -> tuple[ToyModel, dict[str, Any]]:
    """What the train stage hands to tuning."""
    (folder / "train").mkdir(parents=True, exist_ok=True)
    reports: list[list[float]] = []
    run = FitRun(seed=0, folder=folder / "train", report=lambda *report: reports.append([*report]), n_threads=1)
    model = fit(examples(), ToyParameters(), run)
    valid = examples().filter(pl.col("split") == "valid")
    metrics = score(valid.hstack(predict(model, valid)), ScoreParameters())
    return model, {"valid": metrics, "reports": reports}


def tune(folder: Path, loader: str = LOADER, seed: int = 0, **changed: Any) -> tuple[ToyModel, dict[str, Any]]:
    """Trains and tunes in ``folder``; the same call continues what a killed one has left."""
    settings = TuneParameters(**{"n_trials": 8, "n_random_trials": 3, "prune_after_trials": 2, **changed})
    node = make_tune(load("toy"), loader)
    model, summary = train(folder)
    parameters = ToyParameters(), settings, RunParameters(seed=seed), ScoreParameters()
    return node(examples(), pl.DataFrame(), model, summary, *parameters, folder / "work")


def _rmse(rows: pl.DataFrame, weights: np.ndarray) -> float:
    return float(np.sqrt(np.mean((rows.select("a", "b").to_numpy() @ weights - rows["y"].to_numpy()) ** 2)))


def _fault(folder: Path) -> str:
    faults = json.loads(os.environ.get("TOY_FAULTS", "{}"))
    return str(faults.get(folder.name, faults.get("*", "")))


def _plant(fault: str, step: int, folder: Path) -> None:
    if fault == "sleep":
        time.sleep(random.SystemRandom().uniform(0, 0.05))
    if fault == "slow":
        time.sleep(0.4)
    if fault == "raise":
        raise ValueError("planted")
    if fault == "full":
        raise OSError(errno.ENOSPC, "planted")
    if fault.startswith("kill") and step >= KILL_STEP:
        killed = folder / "killed"
        if fault == "kill always" or not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def _trace(name: str, step: int) -> None:
    if "TOY_TRACE" in os.environ:
        with Path(os.environ["TOY_TRACE"]).open("a") as file:
            file.write(f"{name} {step} {os.getpid()}\n")


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(text)
    temporary.replace(path)
