"""What is registered: a few networks that vote, calibrated into one probability, with two thresholds.

probability = sigmoid(slope * mean of the networks' log-odds + intercept); from ``threshold`` on the exam is called
pneumonia; within ``refer_margin`` of it (in log-odds) the model does not decide, and a person does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelyard.errors import StorageError
from modelyard.files import write_text
from pipelines.medical_image_analysis.features import LEVELS
from pipelines.medical_image_analysis.pictures import SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from pipelines.medical_image_analysis.network import RadiographNetwork
    from pipelines.medical_image_analysis.train import FitParameters

    Floats = NDArray[np.float64]


class Inputs(NamedTuple):
    """What the networks read of N exams.

    Args:
        pixels: Grey values, uint8 of shape (N, 784).
        levels: The scanner's brightness and contrast, float32 of shape (N, 2), NaN where not known.
    """

    pixels: NDArray[np.uint8]
    levels: NDArray[np.float32]

    @classmethod
    def of(cls, examples: pl.DataFrame) -> Inputs:
        """Reads them from examples or decoded requests."""
        import polars as pl

        levels = examples.select(pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in LEVELS)
        return cls(examples["image"].to_numpy(), levels.to_numpy())


@dataclass(frozen=True, kw_only=True)
class RadiographModel:
    """A trained model.

    Args:
        params: What it was fitted with; everything that validation rows decided is filled in.
        networks: In evaluation mode.
    """

    params: FitParameters
    networks: Sequence[RadiographNetwork]


def logits_of(network: RadiographNetwork, inputs: Inputs) -> Floats:
    """A network's log-odds of pneumonia, shape (N,)."""
    import numpy as np

    from modelyard.training.prediction import predict
    from pipelines.medical_image_analysis.network import as_pictures

    logits = predict(
        network,
        inputs._asdict(),
        forward=lambda net, batch: net(as_pictures(batch["pixels"], SIDE), batch["levels"]),
        batch_size=256,
    )
    return logits.astype(np.float64)


def build_network(params: FitParameters, usual_levels: tuple[float, float] = (0.5, 0.2)) -> RadiographNetwork:
    """An untrained network; its first weights are drawn from torch's generator."""
    from pipelines.medical_image_analysis.network import RadiographNetwork

    return RadiographNetwork(width=params.width, dropout=params.dropout, usual_levels=usual_levels)


def save(model: RadiographModel, folder: Path) -> None:
    """Writes ``network_<n>.safetensors`` and ``params.json`` into an empty folder."""
    from modelyard.training.weights import save_weights

    for number, network in enumerate(model.networks):
        save_weights(network, folder / f"network_{number}.safetensors")
    write_text(folder / "params.json", model.params.model_dump_json(indent=2))


def load(folder: Path) -> RadiographModel:
    """Reads what :func:`save` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
    """
    from modelyard.training.weights import load_weights
    from pipelines.medical_image_analysis.train import FitParameters

    try:
        params = FitParameters.model_validate_json((folder / "params.json").read_bytes())
    except (OSError, ValueError) as error:
        raise StorageError(
            f"The model cannot be read: {str(error).splitlines()[0]}",
            where=str(folder),
            way_out="train again or restore the folder",
        ) from error
    networks = [
        load_weights(build_network(params), folder / f"network_{number}.safetensors").eval()
        for number in range(params.n_networks)
    ]
    return RadiographModel(params=params, networks=networks)
