"""What is registered: the simple rules and the network beside them, in one set of weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelyard.errors import StorageError
from modelyard.files import write_text
from pipelines.climate_pattern_recognition.inputs import INPUTS, input_matrix, lead_positions, target_months

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray
    from torch import Tensor

    from pipelines.climate_pattern_recognition.network import ForecastNetwork
    from pipelines.climate_pattern_recognition.train import FitParameters, NetworkParameters

    Floats = NDArray[np.float64]

FORECASTS = ("forecast", "linear", "persistence", "climatology")
"""The network's answer and the simple rules', in the order of :func:`forecasts_of`."""


@dataclass(frozen=True, kw_only=True)
class ForecastModel:
    """A trained model.

    Args:
        params: What it was fitted with; everything that validation rows decided is filled in.
        oscillation: A name of :data:`.oscillations.OSCILLATIONS`.
        leads: Steps ahead, ascending.
        network: On the CPU, in evaluation mode; the simple rules' numbers are buffers of it.
    """

    params: FitParameters
    oscillation: str
    leads: tuple[int, ...]
    network: ForecastNetwork


def build_network(params: NetworkParameters, n_leads: int) -> ForecastNetwork:
    """The untrained network; its first weights are drawn from torch's generator."""
    from pipelines.climate_pattern_recognition.network import ForecastNetwork

    return ForecastNetwork(
        n_inputs=len(INPUTS),
        n_leads=n_leads,
        members=params.members,
        width=params.width,
        dropout=params.dropout,
    )


class Answers(NamedTuple):
    """Means and spreads at every lead, float64 of shape (M, L, 2, 2).

    Args:
        linear: The linear rule's.
        wide: The wide rule's.
        members: What the network's members agree on.
    """

    linear: Floats
    wide: Floats
    members: Floats

    def blended(self, wide_share: float, network_share: float) -> Floats:
        """So much of the way from the linear rule to the wide one, and so much of the network's correction of that."""
        blend = self.linear + wide_share * (self.wide - self.linear) + network_share * (self.members - self.wide)
        blend[..., 1] = blend[..., 1].clip(min=1e-3)
        return blend


def answers_of(network: ForecastNetwork, inputs: NDArray[np.float32]) -> Answers:
    """What rules and network say about M issue times."""
    import numpy as np

    from modelyard.training.prediction import predict

    members = predict(network, {"inputs": inputs}, forward=lambda net, batch: net(batch["inputs"]).mean(dim=1))
    linear = predict(network, {"inputs": inputs}, forward=lambda net, batch: net.linear(batch["inputs"]))
    wide = predict(network, {"inputs": inputs}, forward=lambda net, batch: net.wide(batch["inputs"]))

    def with_spread(mean: NDArray[np.float32], spread: Tensor) -> Floats:
        return np.stack(np.broadcast_arrays(mean, spread.cpu().numpy()), axis=-1).astype(np.float64)

    return Answers(
        with_spread(linear, network.linear_spread), with_spread(wide, network.wide_spread), members.astype(np.float64)
    )


def forecasts_of(model: ForecastModel, examples: pl.DataFrame) -> dict[str, tuple[Floats, Floats]]:
    """Means and spreads, shape (N, 2) each, of all :data:`FORECASTS`; NaN where the model has not learnt the lead.

    Args:
        model: A trained model.
        examples: Records with features, at least one row.
    """
    import numpy as np

    inputs, (lead, is_known) = input_matrix(examples), lead_positions(examples, model.leads)
    is_known &= (examples["oscillation"] == model.oscillation).fill_null(False).to_numpy()
    decided = model.params.blend
    wide_share, network_share = (1.0 if it is None else it for it in (decided.wide_share, decided.network_share))
    answers = answers_of(model.network, inputs).blended(wide_share, network_share)[np.arange(len(lead)), lead]
    factor = 1.0 if decided.spread_factor is None else decided.spread_factor
    found = {"forecast": (answers[..., 0], factor * answers[..., 1])}
    found |= simple_forecasts(model.network, inputs, lead, target_months(examples))
    unknown = np.where(is_known, 0.0, np.nan)[:, None]
    return {name: (mean + unknown, spread + unknown) for name, (mean, spread) in found.items()}


def simple_forecasts(
    network: ForecastNetwork, inputs: NDArray[np.float32], lead: NDArray[np.int64], months: NDArray[np.int64]
) -> dict[str, tuple[Floats, Floats]]:
    """Means and spreads, shape (N, 2), of the simple rules for N rows.

    Args:
        network: Holds the rules' numbers.
        inputs: Shape (N, D).
        lead: Position of each row's lead, shape (N,).
        months: Month (from 0) that is forecast, shape (N,).
    """
    import numpy as np

    from modelyard.training.prediction import predict

    numbers = {name: buffer.double().cpu().numpy() for name, buffer in network.named_buffers()}
    linear = predict(network, {"inputs": inputs}, forward=lambda net, batch: net.linear(batch["inputs"]))
    now = inputs[:, [INPUTS.index("first_index_lag_0"), INPUTS.index("second_index_lag_0")]].astype(np.float64)
    return {
        "linear": (linear[np.arange(len(lead)), lead].astype(np.float64), numbers["linear_spread"][lead]),
        "persistence": (np.nan_to_num(now), numbers["persistence_spread"][lead]),
        "climatology": (numbers["climatology_mean"][months], numbers["climatology_spread"][months]),
    }


def save(model: ForecastModel, folder: Path) -> None:
    """Writes ``network.safetensors`` and ``model.json`` into an empty folder."""
    import json

    from modelyard.training.weights import save_weights

    save_weights(model.network, folder / "network.safetensors")
    about = {"oscillation": model.oscillation, "leads": model.leads, "params": model.params.model_dump(mode="json")}
    write_text(folder / "model.json", json.dumps(about, indent=2))


def load(folder: Path) -> ForecastModel:
    """Reads what :func:`save` wrote; the model forecasts the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
        ConfigurationError: The model was trained on other inputs than this version of the code derives.
    """
    import json

    from modelyard.training.weights import load_weights
    from pipelines.climate_pattern_recognition.train import FitParameters

    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        params = FitParameters.model_validate(about["params"])
        oscillation, leads = str(about["oscillation"]), tuple(int(lead) for lead in about["leads"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"The model cannot be read: {str(error).splitlines()[0]}",
            where=str(folder),
            way_out="train again or restore the folder",
        ) from error
    network = load_weights(build_network(params.network, len(leads)), folder / "network.safetensors")
    return ForecastModel(params=params, oscillation=oscillation, leads=leads, network=network.eval())
