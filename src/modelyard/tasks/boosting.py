"""Boosted trees (XGBoost, Chen and Guestrin 2016, https://arxiv.org/abs/1603.02754), grown in blocks of rounds.

Each block ends with a validation, a report and a checkpoint: a hopeless trial is pruned, early stopping has its
history, and a fit that was killed goes on after its last block and ends at the same bits.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from modelyard.files import atomic_file, write_text
from modelyard.parameters import Parameters
from modelyard.project import FitRun

if TYPE_CHECKING:
    import xgboost as xgb

Floats = NDArray[np.float64]

logger = logging.getLogger(__name__)

_BLOCK_ROUNDS = 10
_SMALL_ROWS = 50_000
"""With fewer rows a GPU takes longer to get them than a CPU to boost on them, and threads longer to start."""


class BoosterParameters(Parameters):
    """Boosted trees, in XGBoost's own names; a project gives its defaults as ``Field(BoosterParameters(...))``."""

    n_estimators: int = Field(300, ge=1, le=10_000, description="Boosting rounds, unless validation stops earlier.")
    best_iteration: int | None = Field(
        None, ge=0, description="Last round kept, from 0; filled in by validation. None: all `n_estimators` are."
    )
    early_stopping_rounds: int = Field(
        60, ge=1, description="Rounds without a better validation value before it stops."
    )
    learning_rate: float = Field(0.05, gt=0, le=1, description="Share of each tree's answer that is added.")
    max_depth: int = Field(4, ge=1, le=16, description="Questions on the longest path through a tree.")
    min_child_weight: float = Field(1.0, ge=0, description="Least sum of second derivatives in a leaf.")
    subsample: float = Field(0.8, gt=0, le=1, description="Share of the rows drawn for each tree.")
    colsample_bytree: float = Field(0.8, gt=0, le=1, description="Share of the columns drawn for each tree.")
    reg_lambda: float = Field(1.0, ge=0, description="Penalty on the squares of the leaves' answers.")
    max_bin: int = Field(256, ge=2, le=65_536, description="Thresholds per column.")
    scale_pos_weight: float = Field(1.0, gt=0, description="How many negative rows one positive row counts for.")
    num_parallel_tree: int = Field(1, ge=1, le=100, description="Trees that are averaged in each round.")

    @property
    def n_rounds(self) -> int:
        """Rounds that are boosted when nothing stops it earlier."""
        return self.n_estimators if self.best_iteration is None else self.best_iteration + 1

    @property
    def n_reports(self) -> int:
        """The most reports that :func:`fit_booster` makes."""
        return -(-self.n_estimators // _BLOCK_ROUNDS)


def fit_booster(
    x: NDArray[np.float32],
    y: NDArray[Any],
    params: BoosterParameters,
    run: FitRun,
    score: Callable[[xgb.Booster], float] | None = None,
    objective: str = "binary:logistic",
) -> tuple[xgb.Booster, int]:
    """Boosts in blocks of ten rounds; a killed run continues after its last block and ends at the same trees.

    Every block starts from the trees' stored bytes, also in a run that nobody kills: margins that XGBoost keeps between
    rounds differ in their last bits from those it computes afresh.

    Args:
        x: Inputs of shape (N, D); NaN where a value is missing.
        y: Targets of shape (N,); the first answer is their mean.
        params: See :class:`BoosterParameters`.
        run: Seed, threads, device, and the folder whose subfolder ``booster`` keeps the checkpoint. What ``score``
            returns is reported as steps 1, 2, ...
        score: Returns the validation value of the trees so far, greater is better. None: all rounds are kept.
        objective: XGBoost's name of the loss.

    Returns:
        The trees up to the best round, and that round's number from 0 (XGBoost's ``best_iteration``).
    """
    import xgboost as xgb

    settings = booster_settings(params, run, objective, float(y.mean()), len(x))
    matrix = xgb.QuantileDMatrix(x, y, max_bin=params.max_bin, nthread=run.n_threads)
    state = _Boosting.resumed(run.folder / "booster", _fingerprint(x, y, settings))
    for step, (_, value) in enumerate(state.history, 1):
        _report(run, step, value)
    while not state.is_finished(params.n_rounds, params.early_stopping_rounds):
        booster = xgb.Booster(settings, [matrix], bytearray(state.raw) if state.raw else None)
        for number in range(state.n_rounds, min(state.n_rounds + _BLOCK_ROUNDS, params.n_rounds)):
            booster.update(matrix, number)
        value = None if score is None else score(booster)
        state = state.after(booster, value)
        _report(run, len(state.history), value)
    best = state.best_iteration
    logger.info(
        "trees: %d of %d rounds kept, validation value %s", best + 1, state.n_rounds, format_metric(state.value)
    )
    booster = xgb.Booster({"nthread": run.n_threads}, model_file=bytearray(state.raw))
    return booster[: best + 1], best


def booster_settings(
    params: BoosterParameters, run: FitRun, objective: str, base_score: float, n_rows: int
) -> dict[str, Any]:
    """Returns XGBoost's parameters; each round is seeded by its number, so that it does not depend on those before."""
    chosen = params.model_dump(exclude={"n_estimators", "best_iteration", "early_stopping_rounds"})
    return {
        **chosen,
        "objective": objective,
        "base_score": base_score,
        "tree_method": "hist",
        "device": _device(run, n_rows),
        "nthread": run.n_threads,
        "seed": run.seed,
        "seed_per_iteration": True,
    }


def booster_logits(booster: xgb.Booster, x: NDArray[np.float32], n_rounds: int = 0) -> Floats:
    """Returns the log-odds (or whatever the objective's link maps from) of the first ``n_rounds``, 0 for all.

    Args:
        booster: Of :func:`fit_booster`.
        x: Shape (N, D), N may be 0.
        n_rounds: Of the booster's.

    Returns:
        float64 of shape (N,).
    """
    import xgboost as xgb

    if not len(x):
        return np.zeros(0)
    matrix = xgb.DMatrix(x, nthread=1 if len(x) < _SMALL_ROWS else None)
    logits: Floats = booster.predict(matrix, output_margin=True, iteration_range=(0, n_rounds)).astype(np.float64)
    return logits


def gain_shares(booster: xgb.Booster, names: Sequence[str]) -> dict[str, float]:
    """Returns each used column's share of the gain of all splits, by the columns' names in the order of the inputs."""
    gains: Mapping[str, Any] = booster.get_score(importance_type="total_gain")
    total = sum(gains.values())
    # XGBoost calls the columns of a matrix f0, f1, ...
    return {names[int(key[1:])]: float(gain / total) for key, gain in gains.items()}


def format_metric(value: float | None) -> str:
    """Returns a validation value for the log."""
    return "unknown" if value is None else f"{value:.4f}"


@dataclass(frozen=True)
class _Boosting:
    """How far boosting has come.

    Args:
        folder: Where that is written after each block.
        fingerprint: Of inputs and settings; a checkpoint of others is not resumed.
        raw: The trees in XGBoost's UBJ format; empty before the first block.
        history: (rounds so far, validation value or None) after each block.
    """

    folder: Path
    fingerprint: str
    raw: bytes = b""
    history: tuple[tuple[int, float | None], ...] = ()

    @classmethod
    def resumed(cls, folder: Path, fingerprint: str) -> _Boosting:
        """Returns what an earlier run with the same inputs left in ``folder``, or the very beginning."""
        try:
            state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            raw = (folder / state["trees"]).read_bytes()
            # XGBoost ends the process when it reads trees that are damaged.
            if hashlib.sha256(raw).hexdigest() != state["sha256"]:
                raise ValueError("the trees are not those that were written")
            history = tuple((int(rounds), value) for rounds, value in state["history"])
            is_ours = state["fingerprint"] == fingerprint
        except FileNotFoundError:
            return cls(folder, fingerprint)
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("trees: the checkpoint in %s is damaged (%s); starting from the first round", folder, error)
            return cls(folder, fingerprint)
        if not is_ours:
            logger.warning("trees: the checkpoint in %s has other inputs; starting from the first round", folder)
            return cls(folder, fingerprint)
        logger.info("trees: continuing after %d rounds", history[-1][0])
        return cls(folder, fingerprint, raw, history)

    @property
    def n_rounds(self) -> int:
        return self.history[-1][0] if self.history else 0

    @property
    def best_iteration(self) -> int:
        """Last round of the first best validation value; without values, the last."""
        values = [(value, -rounds) for rounds, value in self.history if value is not None]
        return -max(values)[1] - 1 if values else self.n_rounds - 1

    @property
    def value(self) -> float | None:
        return dict(self.history)[self.best_iteration + 1]

    def is_finished(self, last: int, patience: int) -> bool:
        return self.n_rounds >= last or (bool(self.history) and self.n_rounds - self.best_iteration - 1 >= patience)

    def after(self, booster: xgb.Booster, value: float | None) -> _Boosting:
        """Returns the state after one more block, written to disk: the trees first, then what names them."""
        rounds, raw = booster.num_boosted_rounds(), bytes(booster.save_raw("ubj"))
        history = (*self.history, (rounds, value))
        trees = self.folder / f"round_{rounds:05d}.ubj"
        with atomic_file(trees) as temporary:
            temporary.write_bytes(raw)
        about = {"fingerprint": self.fingerprint, "trees": trees.name, "sha256": hashlib.sha256(raw).hexdigest()}
        write_text(self.folder / "state.json", json.dumps(about | {"history": history}))
        for old in self.folder.glob("round_*.ubj"):
            if old != trees:
                old.unlink()
        return _Boosting(self.folder, self.fingerprint, raw, history)


def _report(run: FitRun, step: int, value: float | None) -> None:
    if value is not None:
        run.report(step, value)


def _fingerprint(x: NDArray[np.float32], y: NDArray[Any], settings: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps([x.shape, settings], sort_keys=True).encode())
    for array in (x, y):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _device(run: FitRun, n_rows: int) -> str:
    """Returns where XGBoost boosts: on a GPU if one is wanted, or is there and the rows are worth their way to it."""
    if run.device in ("cpu", "mps") or (run.device == "auto" and n_rows < _SMALL_ROWS):
        return "cpu"
    from modelyard.training.devices import find_device

    found = find_device(run.device).type
    return found if found == "cuda" else "cpu"
