"""Boosted trees, grown in blocks: each block ends with a validation, a report and a checkpoint."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from modelyard.files import atomic_file, write_text
from modelyard.parameters import Parameters
from modelyard.project import FitRun
from modelyard.tasks.ranking import average_precision
from pipelines.fraud_detection.inputs import LabelledInputs
from pipelines.fraud_detection.model import booster_logits

if TYPE_CHECKING:
    import xgboost as xgb

logger = logging.getLogger(__name__)

_BLOCK_ROUNDS = 10


class BoosterParameters(Parameters):
    """The boosted trees (XGBoost, Chen and Guestrin 2016, https://arxiv.org/abs/1603.02754)."""

    max_rounds: int = Field(300, ge=1, le=10_000, description="Boosting rounds, unless validation rows stop earlier.")
    rounds: int | None = Field(None, ge=1, description="Rounds kept; filled in by validation. None: `max_rounds`.")
    patience_rounds: int = Field(60, ge=1, description="Rounds without a better validation value before stopping.")
    learning_rate: float = Field(0.05, gt=0, le=1, description="Share of each tree's answer that is added.")
    max_depth: int = Field(4, ge=1, le=16, description="Questions on the longest path through a tree.")
    min_child_weight: float = Field(1.0, ge=0, description="Least sum of second derivatives in a leaf.")
    row_share: float = Field(0.8, gt=0, le=1, description="Share of the rows drawn for each tree.")
    column_share: float = Field(0.3, gt=0, le=1, description="Share of the columns drawn for each tree.")
    l2: float = Field(1.0, ge=0, description="Penalty on the squares of the leaves' answers.")
    max_bins: int = Field(
        1024, ge=2, le=65_536, description="Thresholds per column; few large amounts need more than the usual 256."
    )
    fraud_weight: float = Field(1.0, gt=0, description="How many genuine transactions one fraud counts for. 1: one.")


def fit_booster(
    train: LabelledInputs, valid: LabelledInputs | None, params: BoosterParameters, run: FitRun
) -> tuple[xgb.Booster, int]:
    """Boosts in blocks; a killed run continues after its last block and ends at the same trees.

    Every block starts from the trees' stored bytes, also in a run that nobody kills: margins that XGBoost keeps between
    rounds differ in their last bits from those it computes afresh.

    Returns:
        The trees, and how many rounds they are.
    """
    import torch
    import xgboost as xgb

    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "eta": params.learning_rate,
        "max_depth": params.max_depth,
        "min_child_weight": params.min_child_weight,
        "subsample": params.row_share,
        "colsample_bytree": params.column_share,
        "reg_lambda": params.l2,
        "max_bin": params.max_bins,
        "scale_pos_weight": params.fraud_weight,
        "base_score": float(train.is_fraud.mean()),
        "nthread": run.n_threads,
        "seed": run.seed,
        "seed_per_iteration": True,
    }
    matrix = xgb.QuantileDMatrix(train.inputs.columns, train.is_fraud, max_bin=params.max_bins, nthread=run.n_threads)
    last = params.rounds or params.max_rounds
    state = _Boosting.resumed(run.folder / "booster")
    for step, (_, value) in enumerate(state.history, 1):
        _report(run, step, value)
    while not state.is_finished(last, params.patience_rounds):
        first = state.rounds
        booster = xgb.Booster(settings, [matrix], bytearray(state.raw) if state.raw else None)
        for number in range(first, min(first + _BLOCK_ROUNDS, last)):
            booster.update(matrix, number)
        value = None if valid is None else average_precision(valid.is_fraud, booster_logits(booster, valid.inputs))
        state = state.after(booster, value)
        _report(run, len(state.history), value)
    logger.info("trees: %d rounds kept of %d%s", state.best, state.rounds, told(state.best_value))
    booster = xgb.Booster({"nthread": run.n_threads}, model_file=bytearray(state.raw))
    return booster[: state.best], state.best


@dataclass(frozen=True)
class _Boosting:
    """How far boosting has come.

    Args:
        folder: Where that is written after each block.
        raw: The trees in XGBoost's UBJ format; empty before the first block.
        history: (rounds so far, validation value or None) after each block.
    """

    folder: Path
    raw: bytes
    history: tuple[tuple[int, float | None], ...]

    @classmethod
    def resumed(cls, folder: Path) -> _Boosting:
        """What an earlier run with the same inputs left in ``folder``, or the very beginning."""
        try:
            state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            raw = (folder / state["trees"]).read_bytes()
        except FileNotFoundError:
            return cls(folder, b"", ())
        except (ValueError, KeyError) as error:
            logger.warning("trees: the checkpoint in %s is damaged (%s); starting from the first round", folder, error)
            return cls(folder, b"", ())
        logger.info("trees: continuing after round %d", state["history"][-1][0])
        return cls(folder, raw, tuple((rounds, value) for rounds, value in state["history"]))

    @property
    def rounds(self) -> int:
        return self.history[-1][0] if self.history else 0

    @property
    def best(self) -> int:
        """Rounds of the first best validation value; without values, all."""
        values = [(value, -rounds) for rounds, value in self.history if value is not None]
        return -max(values)[1] if values else self.rounds

    @property
    def best_value(self) -> float | None:
        return dict(self.history)[self.best]

    def is_finished(self, last: int, patience_rounds: int) -> bool:
        return self.rounds >= last or (bool(self.history) and self.rounds - self.best >= patience_rounds)

    def after(self, booster: xgb.Booster, value: float | None) -> _Boosting:
        """The state after one more block, written to disk: the trees first, then what names them."""
        rounds, raw = booster.num_boosted_rounds(), bytes(booster.save_raw("ubj"))
        history = (*self.history, (rounds, value))
        trees = self.folder / f"round_{rounds:05d}.ubj"
        with atomic_file(trees) as temporary:
            temporary.write_bytes(raw)
        write_text(self.folder / "state.json", json.dumps({"trees": trees.name, "history": history}))
        for old in self.folder.glob("round_*.ubj"):
            if old != trees:
                old.unlink()
        return _Boosting(self.folder, raw, history)


def _report(run: FitRun, step: int, value: float | None) -> None:
    if value is not None:
        run.report(step, value)


def told(value: float | None) -> str:
    """A validation value for the log; nothing where there is none."""
    return "" if value is None else f", average precision {value:.4f} on validation rows"


def booster_steps(params: BoosterParameters) -> int:
    """The most reports that :func:`fit_booster` makes."""
    return -(-params.max_rounds // _BLOCK_ROUNDS)
