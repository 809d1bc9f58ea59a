"""Boosted trees (XGBoost, Chen and Guestrin 2016, https://arxiv.org/abs/1603.02754), grown in blocks of rounds.

Each block ends with a validation, a report and a checkpoint: a hopeless trial is pruned, early stopping has its
history, and a fit that was killed goes on after its last block and ends at the same bits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.project import FitRun
from modelyard.training.progress import progress
from modelyard.training.resume import digest_of, discard_remains, load_state, save_state

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
    options: Mapping[str, Any] | None = None,
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
        options: What else XGBoost is told: ``monotone_constraints``, ``quantile_alpha``.

    Returns:
        The trees up to the best round, and that round's number from 0 (XGBoost's ``best_iteration``).
    """
    import xgboost as xgb

    settings = booster_settings(params, run, objective, float(y.mean()), len(x)) | dict(options or {})
    matrix = xgb.QuantileDMatrix(x, y, max_bin=params.max_bin, nthread=run.n_threads)
    folder, fingerprint = run.folder / "booster", digest_of(x, y, settings)
    blocks, raw = _resumed(folder, fingerprint)
    for step, block in enumerate(blocks, 1):
        _report(run, step, block)
    n_done = blocks[-1].n_rounds if blocks else 0
    with progress("Boosting", params.n_rounds, done=n_done) as shown:
        while not _is_finished(blocks, params):
            booster = xgb.Booster(settings, [matrix], bytearray(raw) if raw else None)
            first = blocks[-1].n_rounds if blocks else 0
            for number in range(first, min(first + _BLOCK_ROUNDS, params.n_rounds)):
                booster.update(matrix, number)
                shown.update(number + 1)
            blocks.append(_Block(booster.num_boosted_rounds(), None if score is None else score(booster)))
            raw = bytes(booster.save_raw("ubj"))
            save_state(folder, len(blocks), {"trees": raw, "blocks": blocks}, fingerprint=fingerprint)
            _report(run, len(blocks), blocks[-1])
    best = _best(blocks)
    logger.info(
        "trees: %d of %d rounds kept, validation value %s",
        *(best.n_rounds, blocks[-1].n_rounds, format_metric(best.value)),
    )
    booster = xgb.Booster({"nthread": run.n_threads}, model_file=bytearray(raw))
    return booster[: best.n_rounds], best.n_rounds - 1


def booster_settings(
    params: BoosterParameters, run: FitRun, objective: str, base_score: float, n_rows: int
) -> dict[str, Any]:
    """Returns XGBoost's parameters; each round is seeded by its number, so that it does not depend on those before."""
    unused = {"n_estimators", "best_iteration", "early_stopping_rounds"}
    # XGBoost warns of a weight of positive rows where no row is one.
    unused |= set() if objective.startswith("binary:") else {"scale_pos_weight"}
    chosen = params.model_dump(exclude=unused)
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
        float64 of shape (N,), or (N, Q) of a booster of Q quantiles.
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


class _Block(NamedTuple):
    """Rounds so far at the end of a block, and the validation value that they have."""

    n_rounds: int
    value: float | None


def _resumed(folder: Path, fingerprint: str) -> tuple[list[_Block], bytes]:
    """Returns the blocks and the trees that an earlier run with the same inputs left, or the very beginning."""
    found = load_state(folder, fingerprint=fingerprint)
    step, state = found or (0, {"blocks": [], "trees": b""})
    discard_remains(folder, step)
    blocks = [_Block(*block) for block in state["blocks"]]
    if blocks:
        logger.info("trees: continuing after %d rounds", blocks[-1].n_rounds)
    return blocks, state["trees"]


def _best(blocks: list[_Block]) -> _Block:
    """Returns the block with the first best validation value; without values, the last."""
    valued = [block for block in blocks if block.value is not None]
    return max(valued, key=lambda block: float(block.value or 0.0)) if valued else blocks[-1]


def _is_finished(blocks: list[_Block], params: BoosterParameters) -> bool:
    if not blocks:
        return False
    n_rounds = blocks[-1].n_rounds
    return n_rounds >= params.n_rounds or n_rounds - _best(blocks).n_rounds >= params.early_stopping_rounds


def _report(run: FitRun, step: int, block: _Block) -> None:
    if block.value is not None:
        run.report(step, block.value)


def _device(run: FitRun, n_rows: int) -> str:
    """Returns where XGBoost boosts: on a GPU if one is wanted, or is there and the rows are worth their way to it."""
    if run.device in ("cpu", "mps") or (run.device == "auto" and n_rows < _SMALL_ROWS):
        return "cpu"
    from modelyard.training.devices import find_device

    found = find_device(run.device).type
    return found if found == "cuda" else "cpu"
