"""Saves and loads trained models as JSON, safetensors and XGBoost's own format, never as pickle.

``save_model(folder, params=..., network=...)`` writes each part to a file of the part's name, and the files' digests
beside them; one function for each kind of part reads it back: :func:`load_parameters`, :func:`load_network`,
:func:`load_networks`, :func:`load_booster`, :func:`load_arrays`. The digests are checked first: a damaged booster would
end the process inside XGBoost, and a flipped bit in a weight would not be noticed at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from modelyard.errors import StorageError
from modelyard.files import atomic_file, write_text

if TYPE_CHECKING:
    import xgboost as xgb
    from numpy.typing import NDArray
    from torch import nn

    Part = BaseModel | nn.Module | Sequence[nn.Module] | xgb.Booster | Mapping[str, NDArray[Any]]

Stored = TypeVar("Stored", bound=BaseModel)
Network = TypeVar("Network", bound="nn.Module")

_DIGESTS = "sha256.json"


def save_model(folder: Path, **parts: Part) -> None:
    """Writes the parts of a model into an empty folder, each file whole or not at all.

    Args:
        folder: The folder to write to.
        parts: Name to part: a pydantic model (``<name>.json``), a network (``<name>.safetensors``), networks
            (``<name>_0.safetensors``, ...), a booster (``<name>.ubj``), or arrays by name (``<name>.safetensors``).

    Raises:
        StorageError: The disk is full or the folder cannot be written to.
        TypeError: A part is none of these.
    """
    digests = {}
    for name, part in _numbered(parts):
        suffix, content = _serialised(part)
        with atomic_file(folder / (name + suffix)) as temporary:
            temporary.write_bytes(content)
        digests[name + suffix] = hashlib.sha256(content).hexdigest()
    write_text(folder / _DIGESTS, json.dumps(digests, indent=2))


def load_parameters(folder: Path, kind: type[Stored], name: str = "params") -> Stored:
    """Returns the pydantic model that :func:`save_model` wrote under ``name``.

    Raises:
        StorageError: The file is missing or damaged.
    """
    content = _read(folder, f"{name}.json")
    try:
        return kind.model_validate_json(content)
    except ValueError as error:  # written by a version of the code with other parameters
        raise _unreadable(folder, "; ".join(str(error).splitlines()[:3])) from error


def load_network(folder: Path, network: Network, name: str = "network") -> Network:
    """Fills an untrained network with the weights stored under ``name`` and returns it in evaluation mode.

    Raises:
        StorageError: The file is missing or damaged.
        ConfigurationError: The weights belong to a network of another shape.
    """
    from modelyard.training.weights import load_weights

    content = _read(folder, f"{name}.safetensors")
    load_weights(network, folder / f"{name}.safetensors", content)
    network.eval()
    return network


def load_networks(folder: Path, build: Callable[[], Network], n_networks: int, name: str = "networks") -> list[Network]:
    """Returns the networks of an ensemble, each built by ``build`` and filled as :func:`load_network` does."""
    return [load_network(folder, build(), f"{name}_{number}") for number in range(n_networks)]


def load_booster(folder: Path, name: str = "booster", n_threads: int = 0) -> xgb.Booster:
    """Returns the booster stored under ``name``.

    Args:
        folder: The model's folder.
        name: The part's name.
        n_threads: CPU threads for prediction; 0: all.

    Raises:
        StorageError: The file is missing or damaged.
    """
    import xgboost as xgb

    return xgb.Booster({"nthread": n_threads}, model_file=bytearray(_read(folder, f"{name}.ubj")))


def load_arrays(folder: Path, name: str) -> dict[str, NDArray[Any]]:
    """Returns the arrays stored under ``name``, by their own names.

    Raises:
        StorageError: The file is missing or damaged.
    """
    from safetensors.numpy import load

    return load(_read(folder, f"{name}.safetensors"))


def _numbered(parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields name and part, each network of an ensemble with its number."""
    for name, part in parts.items():
        if isinstance(part, Sequence):
            yield from ((f"{name}_{number}", network) for number, network in enumerate(part))
        else:
            yield name, part


def _serialised(part: Any) -> tuple[str, bytes]:
    """Returns a part's suffix and bytes.

    A network or a booster is recognised by a method rather than its class, because importing torch takes seconds.
    """
    if isinstance(part, BaseModel):
        return ".json", part.model_dump_json(indent=2).encode()
    if isinstance(part, Mapping):
        from safetensors.numpy import save

        return ".safetensors", save(dict(part))
    if hasattr(part, "save_raw"):
        return ".ubj", bytes(part.save_raw("ubj"))
    if hasattr(part, "state_dict"):
        from modelyard.training.weights import to_bytes

        return ".safetensors", to_bytes(part.state_dict())
    raise TypeError(f"a {type(part).__name__} has no format here")


def _read(folder: Path, file: str) -> bytes:
    """Returns the bytes of a file after comparing them with the stored digest."""
    try:
        digest = json.loads((folder / _DIGESTS).read_text(encoding="utf-8"))[file]
        content = (folder / file).read_bytes()
    except KeyError:
        raise _unreadable(folder, f"it has no {file}") from None
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(folder, str(error)) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise _unreadable(folder, f"{file} is damaged")
    return content


def _unreadable(folder: Path, found: str) -> StorageError:
    return StorageError(
        f"The model cannot be read: {found}.", where=str(folder), way_out="train again or restore the folder"
    )
