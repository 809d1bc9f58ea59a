"""Fits the baselines, then the network on what they miss; validation rows choose the epoch and the blend."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import DataContractError
from modelyard.project import FitRun
from modelyard.scoring import rows_of
from modelyard.tasks.series.scores import crps_gaussian, crps_gaussian_loss
from pipelines.climate_pattern_recognition.baselines import Baselines, fit_baselines
from pipelines.climate_pattern_recognition.inputs import Arrays, arrays_of
from pipelines.climate_pattern_recognition.model import (
    BlendParameters,
    Candidates,
    FitParameters,
    ForecastModel,
    Scope,
    build_network,
    candidates_of,
)

if TYPE_CHECKING:
    import optuna
    from torch import Tensor

    from pipelines.climate_pattern_recognition.network import ForecastNetwork

Floats = NDArray[np.float64]

logger = logging.getLogger(__name__)

_MIN_ISSUE_TIMES = 60
_SHARES = tuple(step / 10 for step in range(11))
_FACTORS = tuple(0.6 + 0.02 * step for step in range(61))
"""Shares of the blend and factors of the spread that the validation rows choose from."""


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> ForecastModel:
    """Fits baselines and network.

    Args:
        examples: Records with features and ``split``, of one oscillation; ``valid`` rows, if there are any, decide what
            ``params`` leave open.
        params: See :class:`.model.FitParameters`.
        run: Seed, folder of the checkpoints, threads. The CRPS skill on the validation rows is reported for each epoch.

    Returns:
        The model; its ``params`` fit it again without validation rows.

    Raises:
        DataContractError: There are too few issue times to learn from, or two oscillations.
    """
    train_rows, valid_rows = rows_of(examples, "train"), rows_of(examples, "valid")
    oscillation = _only_oscillation(train_rows)
    leads = tuple(sorted(train_rows["lead_count"].unique().to_list()))
    train = arrays_of(train_rows, leads)
    if len(train.inputs) < _MIN_ISSUE_TIMES:
        raise DataContractError(
            f"There are {len(train.inputs)} issue times to learn from, fewer than {_MIN_ISSUE_TIMES}.",
            where="split 'train'",
            way_out="bring a longer series, or smaller shares under ingest.periods",
        )
    valid = arrays_of(valid_rows, leads) if valid_rows.height else None
    baselines, start = fit_baselines(train)
    network, best_epoch = fit_network(baselines, start, train, valid, params, run)
    blend = params.blend
    if valid is not None:
        blend = choose_blend(candidates_of(baselines, network, valid.inputs), valid, blend)
    logger.info("network: epoch %d kept; %s", best_epoch, blend)
    decided = params.model_copy(update={"loop": params.loop.stopping_after(best_epoch), "blend": blend})
    scope = Scope(oscillation=oscillation, leads=leads)
    return ForecastModel(params=decided, scope=scope, baselines=baselines, network=network)


def fit_network(
    baselines: Baselines,
    start: NDArray[np.float32],
    train: Arrays,
    valid: Arrays | None,
    params: FitParameters,
    run: FitRun,
) -> tuple["ForecastNetwork", int]:
    """Trains the network with the repository's loop, which keeps a checkpoint of each epoch.

    Args:
        baselines: The network corrects the wide one.
        start: The wide baseline's out-of-fold means for the training rows, shape (M, L, 2).
        train: M issue times.
        valid: Chooses the epoch; None: ``params`` do.
        params: See :class:`.model.FitParameters`.
        run: See :func:`fit`.

    Returns:
        The network of the best epoch on the CPU, and that epoch's number.
    """
    from modelyard.training.loop import train as run_loop
    from modelyard.training.randomness import seeded

    with seeded(run.seed):
        network = build_network(params.network, baselines)
    result = run_loop(
        network,
        {"inputs": baselines.standardised(train.inputs), "start": start, "targets": train.targets},
        mean_crps,
        params.loop,
        run=replace(run, folder=run.folder / "network"),
        evaluate=None if valid is None else lambda net: skill(baselines, net, valid),
        greater_is_better=True,
    )
    return result.network.to("cpu").eval(), result.best_epoch


def mean_crps(network: "ForecastNetwork", batch: dict[str, "Tensor"]) -> "Tensor":
    """Returns the mean CRPS of the ensemble's networks over known outcomes, a scalar.

    Args:
        network: See :class:`.network.ForecastNetwork`.
        batch: ``inputs`` (B, D), ``start`` (B, L, 2), ``targets`` (B, L, 2) with NaN where not known.
    """
    import torch

    answers = network(batch["inputs"], batch["start"])
    outcome = batch["targets"][:, None]
    is_known = torch.isfinite(outcome)
    scores = crps_gaussian_loss(answers[..., 0], answers[..., 1], torch.where(is_known, outcome, 0.0))
    total: Tensor = (scores * is_known).sum() / (is_known.sum().clamp(min=1) * answers.shape[1])
    return total


def skill(baselines: Baselines, network: "ForecastNetwork", rows: Arrays) -> float:
    """Returns the share of the linear baseline's CRPS that the best blend saves on these rows."""
    candidates = candidates_of(baselines, network, rows.inputs)
    blend = choose_blend(candidates, rows, BlendParameters(spread_factor=1.0))
    ours = candidates.blended(blend.wide_share or 0.0, blend.network_share or 0.0)
    return 1 - _mean_score(ours, rows) / _mean_score(candidates.linear, rows)


def choose_blend(candidates: Candidates, rows: Arrays, params: BlendParameters) -> BlendParameters:
    """Fills in what ``params`` leave open by the CRPS on validation rows: the shares, one by one, then the factor.

    Args:
        candidates: On the validation rows.
        rows: The validation rows.
        params: What is given there stays.
    """
    wide, share, factor = params.wide_share, params.network_share, params.spread_factor
    if wide is None:
        wide = min(_SHARES, key=lambda wide: _mean_score(candidates.blended(wide, share or 0.0), rows))
    if share is None:
        share = min(_SHARES, key=lambda share: _mean_score(candidates.blended(wide, share), rows))
    if factor is None:
        factor = min(_FACTORS, key=lambda factor: _mean_score(candidates.blended(wide, share), rows, factor))
    return BlendParameters(wide_share=wide, network_share=share, spread_factor=factor)


def _mean_score(forecast: Floats, rows: Arrays, factor: float = 1.0) -> float:
    """Returns the mean CRPS of means and spreads (M, L, 2, 2)."""
    return float(
        np.nanmean(crps_gaussian(forecast[..., 0], factor * forecast[..., 1], rows.targets.astype(np.float64)))
    )


def search_space(trial: "optuna.Trial", params: FitParameters) -> FitParameters:
    """Returns ``params`` with what tuning varies, named after the fields: width, dropout and the pace of learning."""
    network = params.network.model_copy(
        update={
            "width": trial.suggest_int("network.width", 8, 96, log=True),
            "dropout": trial.suggest_float("network.dropout", 0.0, 0.5),
        }
    )
    loop = params.loop.model_copy(
        update={
            "learning_rate": trial.suggest_float("loop.learning_rate", 2e-4, 4e-3, log=True),
            "weight_decay": trial.suggest_float("loop.weight_decay", 0.01, 2.0, log=True),
        }
    )
    return params.model_copy(update={"network": network, "loop": loop})


def _only_oscillation(rows: pl.DataFrame) -> str:
    found = rows["oscillation"].unique().sort().to_list()
    if len(found) != 1:
        raise DataContractError(
            f"The training rows are of {len(found)} oscillations: {', '.join(map(str, found)) or 'none'}.",
            where="column 'oscillation'",
            way_out="train one model for each",
        )
    return str(found[0])
