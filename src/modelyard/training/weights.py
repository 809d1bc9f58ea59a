"""Weights as safetensors: no pickle, the same weights give the same bytes."""

from pathlib import Path
from typing import TypeVar

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from modelyard.errors import ConfigurationError, StorageError
from modelyard.files import atomic_file

Network = TypeVar("Network", bound=nn.Module)


def save_weights(network: nn.Module, path: Path) -> None:
    """Writes all parameters and buffers of ``network`` to ``path``, whole or not at all.

    Raises:
        StorageError: The disk is full or the folder cannot be written to.
    """
    with atomic_file(path) as temporary:
        temporary.write_bytes(to_bytes(network.state_dict()))


def load_weights(network: Network, path: Path, content: bytes | None = None) -> Network:
    """Fills ``network`` from ``path`` in place and returns it; the weights stay on the network's device.

    Args:
        network: A network of the stored shape.
        path: The file.
        content: The file's bytes, where the caller has read and checked them; None: they are read here.

    Raises:
        StorageError: The file is missing or damaged.
        ConfigurationError: The weights belong to a network of another shape.
    """
    try:
        tensors = safetensors.torch.load(path.read_bytes() if content is None else content)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"The weights cannot be read: {error}.", where=str(path), way_out="train again or restore the file"
        ) from error
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ConfigurationError(
            f"The stored weights do not fit the network {type(network).__name__}: {error}",
            where=str(path),
            way_out="build the network with the parameters that it was trained with",
        ) from error
    return network


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers in the CPU's memory."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def to_bytes(tensors: dict[str, Tensor]) -> bytes:
    """The tensors in the safetensors format; tied weights are written once for each name."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        here = tensor.detach().cpu().contiguous()
        is_shared = here.untyped_storage().nbytes() != here.nbytes or here.data_ptr() in seen
        separate[name] = here.clone() if is_shared else here
        seen.add(here.data_ptr())
    return safetensors.torch.save(separate)
