"""What is registered: boosted trees and a network on the same inputs, blended and calibrated into one probability.

blended log-odds = (1 - network_share) * trees + network_share * network
probability      = sigmoid(slope * blended + intercept)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelyard.errors import StorageError
from modelyard.files import atomic_file, write_text
from pipelines.fraud_detection.inputs import STEP_NUMBERS, Inputs, input_columns

if TYPE_CHECKING:
    import numpy as np
    import xgboost as xgb
    from numpy.typing import NDArray

    from pipelines.fraud_detection.network import CardNetwork
    from pipelines.fraud_detection.train import BlendParameters, FitParameters, NetworkParameters

    Floats = NDArray[np.float64]

_MOST_REASONS = 3


@dataclass(frozen=True, kw_only=True)
class FraudModel:
    """A trained model.

    Args:
        params: What it was fitted with; everything that validation rows decided is filled in.
        booster: Columns to log-odds.
        network: Columns and sequence to log-odds; on the CPU, in evaluation mode.
    """

    params: FitParameters
    booster: xgb.Booster
    network: CardNetwork


class Answers(NamedTuple):
    """Of N rows, float64 of shape (N,).

    Args:
        probability: Calibrated probability of fraud.
        booster_logit: The trees' log-odds.
        network_logit: The network's log-odds.
    """

    probability: Floats
    booster_logit: Floats
    network_logit: Floats


def answers_of(model: FraudModel, inputs: Inputs) -> Answers:
    """Both models' answers and what follows from them."""
    trees, network = booster_logits(model.booster, inputs), network_logits(model.network, inputs)
    return Answers(probabilities(trees, network, model.params.blend), trees, network)


def booster_logits(booster: xgb.Booster, inputs: Inputs) -> Floats:
    """The trees' log-odds, shape (N,)."""
    import numpy as np
    import xgboost as xgb

    logits: Floats = booster.predict(xgb.DMatrix(inputs.columns), output_margin=True).astype(np.float64)
    return logits


def network_logits(network: CardNetwork, inputs: Inputs) -> Floats:
    """The network's log-odds, shape (N,)."""
    import numpy as np

    from modelyard.training.prediction import predict

    return predict(network, inputs._asdict()).astype(np.float64)


def blended(trees: Floats, network: Floats, network_share: float) -> Floats:
    """Weighted mean of log-odds, shape (N,)."""
    return (1 - network_share) * trees + network_share * network


def probabilities(trees: Floats, network: Floats, params: BlendParameters) -> Floats:
    """Blended and calibrated, shape (N,), in (0, 1); what is not decided stays neutral (the trees and network alike).

    Args:
        trees: Log-odds, shape (N,).
        network: Log-odds, shape (N,).
        params: Share, slope and intercept.
    """
    import numpy as np

    share = 0.5 if params.network_share is None else params.network_share
    slope = 1.0 if params.slope is None else params.slope
    intercept = 0.0 if params.intercept is None else params.intercept
    result: Floats = 1 / (1 + np.exp(-np.clip(slope * blended(trees, network, share) + intercept, -500, 500)))
    return result


def reasons(booster: xgb.Booster, inputs: Inputs) -> list[str]:
    """Why each transaction looks suspicious: at most three topics that raise the trees' log-odds, in words.

    A topic weighs the sum of its columns' Shapley values and is told by its strongest column. The network is not
    explained. Shapley values of trees: Lundberg et al. 2020, https://doi.org/10.1038/s42256-019-0138-9.

    Returns:
        For each row the reasons, strongest first, joined by ``"; "``; empty where nothing raises the odds.
    """
    import xgboost as xgb

    if not len(inputs.columns):
        return []
    shares = booster.predict(xgb.DMatrix(inputs.columns), pred_contribs=True)[:, :-1]
    return [_in_words(row, values) for row, values in zip(shares, inputs.columns, strict=True)]


def _in_words(shares: NDArray[np.float32], values: NDArray[np.float32]) -> str:
    import math

    weight: dict[str, float] = {}
    strongest: dict[str, tuple[float, str]] = {}
    for column, share, value in zip(input_columns().values(), shares.tolist(), values.tolist(), strict=True):
        if math.isnan(value):
            continue
        weight[column.topic] = weight.get(column.topic, 0.0) + share
        if share > strongest.get(column.topic, (0.0, ""))[0]:
            strongest[column.topic] = (share, column.words.format(column.number(value)))
    topics = sorted((topic for topic in strongest if weight[topic] > 0), key=lambda topic: -weight[topic])
    return "; ".join(strongest[topic][1] for topic in topics[:_MOST_REASONS])


def build_network(params: NetworkParameters, fraud_share: float = 0.5) -> CardNetwork:
    """The untrained network; its first weights are drawn from torch's generator.

    Args:
        params: Its widths.
        fraud_share: Of the training rows; what it answers before it has learnt anything.
    """
    from pipelines.fraud_detection.network import CardNetwork

    return CardNetwork(
        n_columns=len(input_columns()),
        n_numbers=STEP_NUMBERS,
        width=params.width,
        look_width=params.look_width,
        dropout=params.dropout,
        fraud_share=fraud_share,
    )


def save(model: FraudModel, folder: Path) -> None:
    """Writes ``booster.ubj``, ``network.safetensors`` and ``params.json`` into an empty folder."""
    from modelyard.training.weights import save_weights

    with atomic_file(folder / "booster.ubj") as temporary:
        temporary.write_bytes(model.booster.save_raw("ubj"))
    save_weights(model.network, folder / "network.safetensors")
    write_text(folder / "params.json", model.params.model_dump_json(indent=2))


def load(folder: Path) -> FraudModel:
    """Reads what :func:`save` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
        ConfigurationError: The model was trained on other inputs than this version of the code derives.
    """
    import xgboost as xgb

    from modelyard.training.weights import load_weights
    from pipelines.fraud_detection.train import FitParameters

    try:
        params = FitParameters.model_validate_json((folder / "params.json").read_bytes())
        booster = xgb.Booster(model_file=bytearray((folder / "booster.ubj").read_bytes()))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"The model cannot be read: {str(error).splitlines()[0]}",
            where=str(folder),
            way_out="train again or restore the folder",
        ) from error
    network = load_weights(build_network(params.network), folder / "network.safetensors")
    return FraudModel(params=params, booster=booster, network=network.eval())
