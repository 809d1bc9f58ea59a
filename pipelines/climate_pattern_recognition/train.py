"""Fits the simple rules, then the network on what they miss; validation rows say when to stop and how sure to be."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.parameters import Parameters
from modelyard.project import FitRun
from modelyard.scoring import rows_of
from modelyard.training.parameters import LoopParameters
from pipelines.climate_pattern_recognition.inputs import Learning, learning_arrays
from pipelines.climate_pattern_recognition.model import Answers, ForecastModel, answers_of, build_network
from pipelines.climate_pattern_recognition.rules import fit_rules

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import polars as pl
    from numpy.typing import NDArray
    from torch import Tensor

    from pipelines.climate_pattern_recognition.network import ForecastNetwork

    Floats = NDArray[np.float64]

logger = logging.getLogger(__name__)

_FEWEST_ISSUES = 60
_SHARES = tuple(step / 10 for step in range(11))
_FACTORS = tuple(0.6 + 0.02 * step for step in range(61))
"""Shares of the network and factors of the spread that the validation rows choose from."""


class NetworkParameters(Parameters):
    """The network's shape."""

    members: int = Field(6, ge=1, le=64, description="Networks whose answers are averaged.")
    width: int = Field(64, ge=1, le=512, description="Hidden units of each member.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of inputs and hidden units dropped while training.")


class BlendParameters(Parameters):
    """How rules and network become one forecast; all of it is filled in by validation."""

    wide_share: float | None = Field(
        None, ge=0, le=1, description="How far to go from the linear rule to the wide one. None: all the way."
    )
    network_share: float | None = Field(
        None, ge=0, le=1, description="Share of the network's correction that is believed. None: all of it."
    )
    spread_factor: float | None = Field(None, gt=0, le=10, description="Factor of the spread. None: 1.")


class FitParameters(Parameters):
    """Everything that training needs."""

    network: NetworkParameters = Field(NetworkParameters(), description="The network's shape.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=15, patience=5, batch_size=256, learning_rate=3e-3, weight_decay=0.05),
        description="Its training.",
    )
    blend: BlendParameters = Field(BlendParameters(), description="How rules and network become one forecast.")


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> ForecastModel:
    """Fits rules and network.

    Args:
        examples: Records with features and ``split``, of one oscillation; ``valid`` rows, if there are any, decide what
            ``params`` leave open.
        params: See :class:`FitParameters`.
        run: Seed, folder of the checkpoints, threads. The CRPS skill on the validation rows is reported for each epoch.

    Returns:
        The model; its ``params`` fit it again without validation rows.

    Raises:
        DataContractError: There are too few issue times to learn from, or two oscillations.
    """
    train_rows, valid_rows = rows_of(examples, "train"), rows_of(examples, "valid")
    oscillation = _only_oscillation(train_rows)
    leads = tuple(sorted(train_rows["lead_count"].unique().to_list()))
    train = learning_arrays(train_rows, leads)
    if len(train.inputs) < _FEWEST_ISSUES:
        raise DataContractError(
            f"There are {len(train.inputs)} issue times to learn from, fewer than {_FEWEST_ISSUES}.",
            where="split 'train'",
            way_out="bring a longer series, or smaller shares under ingest.periods",
        )
    valid = learning_arrays(valid_rows, leads) if valid_rows.height else None
    network, epoch = fit_network(train, valid, params, run)
    blend = params.blend if valid is None else choose_blend(answers_of(network, valid.inputs), valid, params.blend)
    logger.info("network: epoch %d kept; %s", epoch, blend)
    decided = params.model_copy(update={"loop": params.loop.stopping_after(epoch), "blend": blend})
    return ForecastModel(params=decided, oscillation=oscillation, leads=leads, network=network)


def fit_network(
    train: Learning, valid: Learning | None, params: FitParameters, run: FitRun
) -> tuple[ForecastNetwork, int]:
    """Fits the rules and trains the network with the repository's loop, which keeps a checkpoint of each epoch.

    Returns:
        The network of the best epoch on the CPU, and that epoch's number.
    """
    from modelyard.training.loop import train as run_loop
    from modelyard.training.randomness import seeded

    with seeded(run.seed):
        network = build_network(params.network, train.targets.shape[1])
    rules, start = fit_rules(train)
    network.take(rules)
    result = run_loop(
        network,
        {"inputs": train.inputs, "start": start, "targets": train.targets},
        mean_crps,
        params.loop,
        run=replace(run, folder=run.folder / "network"),
        evaluate=None if valid is None else lambda net: skill(net, valid),
        greater_is_better=True,
    )
    return result.network.to("cpu").eval(), result.best_epoch


def mean_crps(network: ForecastNetwork, batch: dict[str, Tensor]) -> Tensor:
    """Mean CRPS of the members over known outcomes.

    ``inputs`` (B, D), ``start`` (B, L, 2), ``targets`` (B, L, 2) with NaN where not known.
    """
    import torch

    from pipelines.climate_pattern_recognition.gaussian import crps_tensor

    answers = network(batch["inputs"], batch["start"])
    outcome = batch["targets"][:, None]
    is_known = torch.isfinite(outcome)
    scores = crps_tensor(answers[..., 0], answers[..., 1], torch.where(is_known, outcome, 0.0))
    n_members = answers.shape[1]
    total: Tensor = (scores * is_known).sum() / (is_known.sum().clamp(min=1) * n_members)
    return total


def skill(network: ForecastNetwork, rows: Learning) -> float:
    """Share of the linear rule's CRPS that the best blend of rules and network saves on these rows."""
    answers = answers_of(network, rows.inputs)
    blend = choose_blend(answers, rows, BlendParameters(spread_factor=1.0))
    floor = _mean_score(answers.linear, rows)
    return 1 - _mean_score(answers.blended(blend.wide_share or 0.0, blend.network_share or 0.0), rows) / floor


def choose_blend(answers: Answers, rows: Learning, params: BlendParameters) -> BlendParameters:
    """Fills in what ``params`` leave open by the CRPS on validation rows: the shares, one by one, then the factor.

    Args:
        answers: On the validation rows.
        rows: The validation rows.
        params: What is given there stays.
    """
    wide, share, factor = params.wide_share, params.network_share, params.spread_factor
    if wide is None:
        wide = min(_SHARES, key=lambda wide: _mean_score(answers.blended(wide, share or 0.0), rows))
    if share is None:
        share = min(_SHARES, key=lambda share: _mean_score(answers.blended(wide, share), rows))
    if factor is None:
        factor = min(_FACTORS, key=lambda factor: _mean_score(answers.blended(wide, share), rows, factor))
    return BlendParameters(wide_share=wide, network_share=share, spread_factor=factor)


def _mean_score(forecast: Floats, rows: Learning, factor: float = 1.0) -> float:
    """Mean CRPS of means and spreads (M, L, 2, 2)."""
    import numpy as np

    from pipelines.climate_pattern_recognition.gaussian import crps

    return float(np.nanmean(crps(forecast[..., 0], factor * forecast[..., 1], rows.targets.astype(np.float64))))


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """What tuning varies, named after the fields: the network's width and dropout, the pace of learning."""
    network = params.network.model_copy(
        update={
            "width": trial.suggest_int("network.width", 8, 96, log=True),
            "dropout": trial.suggest_float("network.dropout", 0.0, 0.5),
        }
    )
    rate = trial.suggest_float("loop.learning_rate", 2e-4, 4e-3, log=True)
    decay = trial.suggest_float("loop.weight_decay", 0.01, 2.0, log=True)
    loop = params.loop.model_copy(update={"learning_rate": rate, "weight_decay": decay})
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
