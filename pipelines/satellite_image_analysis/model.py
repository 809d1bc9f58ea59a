"""What is registered: a few networks that vote on several views of a tile, calibrated into one probability.

probability = sigmoid(slope * mean of all log-odds + intercept); from ``threshold`` on the building is called damaged;
within ``refer_margin`` of it (in log-odds) somebody should look.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelyard.errors import StorageError
from modelyard.files import write_text
from pipelines.satellite_image_analysis.features import LEVELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray
    from torch import Tensor

    from modelyard.training.batches import Batch
    from pipelines.satellite_image_analysis.network import TileNetwork
    from pipelines.satellite_image_analysis.train import FitParameters

    Floats = NDArray[np.float64]


class Inputs(NamedTuple):
    """What the networks read of N tiles.

    Args:
        pixels: Red, green, blue, uint8 of shape (N, 49152).
        levels: The region's brightness and contrast, float32 of shape (N, 2), NaN where not known.
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
class TileModel:
    """A trained model.

    Args:
        params: What it was fitted with; everything that validation rows decided is filled in.
        networks: In evaluation mode.
    """

    params: FitParameters
    networks: Sequence[TileNetwork]


def logits_of(network: TileNetwork, inputs: Inputs, params: FitParameters) -> Floats:
    """A network's log-odds of damage, the mean over ``n_views`` ways to lay the tile down, shape (N,)."""
    import numpy as np
    import torch

    from modelyard.training.prediction import predict
    from pipelines.satellite_image_analysis.augmentation import turned
    from pipelines.satellite_image_analysis.network import as_tiles

    def forward(net: TileNetwork, batch: Batch) -> Tensor:
        tiles = as_tiles(batch["pixels"], params.input_side)
        views = [net(turned(tiles, number), batch["levels"]) for number in range(params.n_views)]
        return torch.stack(views).mean(dim=0)

    return predict(network, inputs._asdict(), forward=forward, batch_size=64).astype(np.float64)


def build_network(params: FitParameters, usual_levels: tuple[float, float] = (0.5, 0.2)) -> TileNetwork:
    """An untrained network; its first weights are drawn from torch's generator."""
    from pipelines.satellite_image_analysis.network import TileNetwork

    return TileNetwork(width=params.width, dropout=params.dropout, usual_levels=usual_levels)


def save(model: TileModel, folder: Path) -> None:
    """Writes ``network_<n>.safetensors`` and ``params.json`` into an empty folder."""
    from modelyard.training.weights import save_weights

    for number, network in enumerate(model.networks):
        save_weights(network, folder / f"network_{number}.safetensors")
    write_text(folder / "params.json", model.params.model_dump_json(indent=2))


def load(folder: Path) -> TileModel:
    """Reads what :func:`save` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
    """
    from modelyard.training.weights import load_weights
    from pipelines.satellite_image_analysis.train import FitParameters

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
    return TileModel(params=params, networks=networks)
