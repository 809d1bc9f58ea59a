"""A model's parts come back equal to the bit, and a damaged or missing file is one error that says what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xgboost as xgb
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from modelyard.errors import ConfigurationError, StorageError
from modelyard.model_files import (
    load_arrays,
    load_booster,
    load_network,
    load_networks,
    load_parameters,
    save_model,
)
from modelyard.parameters import Parameters


class Widths(Parameters):
    """Of a toy."""

    width: int = Field(3, ge=1)


ARRAYS: dict[str, NDArray[Any]] = {
    "packed": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "lengths": np.array([1, 2], dtype=np.int32),
}

DAMAGES: dict[str, Callable[[bytes], bytes] | None] = {
    "missing": None,
    "empty": lambda _: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "one bit": lambda whole: whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
}


def _network(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 2), nn.BatchNorm1d(2))


def _booster() -> xgb.Booster:
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    return xgb.train({"objective": "binary:logistic", "nthread": 1}, xgb.DMatrix(x, x[:, 0] > 0), 3)


def _save(folder: Path) -> tuple[list[nn.Module], xgb.Booster]:
    folder.mkdir()
    networks, booster = [_network(), _network()], _booster()
    save_model(folder, params=Widths(width=5), network=networks[0], networks=networks, booster=booster, memory=ARRAYS)
    return networks, booster


def test_every_part_comes_back(tmp_path: Path) -> None:
    networks, booster = _save(tmp_path / "model")
    assert load_parameters(tmp_path / "model", Widths) == Widths(width=5)
    loaded = load_networks(tmp_path / "model", _network, 2)
    for ours, theirs in zip(
        [*networks, networks[0]], [*loaded, load_network(tmp_path / "model", _network())], strict=True
    ):
        assert not theirs.training
        assert all(torch.equal(ours.state_dict()[name], tensor) for name, tensor in theirs.state_dict().items())
    assert load_booster(tmp_path / "model", n_threads=1).save_raw("json") == booster.save_raw("json")
    arrays = load_arrays(tmp_path / "model", "memory")
    assert {name: (array.dtype, array.tolist()) for name, array in arrays.items()} == {
        name: (array.dtype, array.tolist()) for name, array in ARRAYS.items()
    }
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == [
        "booster.ubj",
        "memory.safetensors",
        "network.safetensors",
        "networks_0.safetensors",
        "networks_1.safetensors",
        "params.json",
        "sha256.json",
    ]


def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    network, booster = _network(), _booster()
    for name in ("one", "two"):
        save_model(tmp_path / name, params=Widths(), network=network, booster=booster, memory=ARRAYS)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize(
    "name", ["params.json", "network.safetensors", "networks_1.safetensors", "booster.ubj", "memory.safetensors"]
)
def test_what_cannot_be_read_is_one_error(tmp_path: Path, name: str, damage: Callable[[bytes], bytes] | None) -> None:
    folder = tmp_path / "model"
    _save(folder)
    whole = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage is not None:
        (folder / name).write_bytes(damage(whole))
    readers: dict[str, Callable[[], object]] = {
        "params.json": lambda: load_parameters(folder, Widths),
        "network.safetensors": lambda: load_network(folder, _network()),
        "networks_1.safetensors": lambda: load_networks(folder, _network, 2),
        "booster.ubj": lambda: load_booster(folder),
        "memory.safetensors": lambda: load_arrays(folder, "memory"),
    }
    with pytest.raises(StorageError, match=r"^The model cannot be read: ") as caught:
        readers[name]()
    assert caught.value.where == str(folder)
    assert "train again" in caught.value.way_out


def test_a_folder_without_digests_or_with_other_ones_is_refused(tmp_path: Path) -> None:
    _save(tmp_path / "model")
    for content in ("", "[]", "{}"):
        (tmp_path / "model" / "sha256.json").write_text(content)
        with pytest.raises(StorageError, match="The model cannot be read"):
            load_parameters(tmp_path / "model", Widths)
    (tmp_path / "model" / "sha256.json").unlink()
    with pytest.raises(StorageError, match="No such file"):
        load_parameters(tmp_path / "model", Widths)


def test_parameters_of_another_version_of_the_code_are_named(tmp_path: Path) -> None:
    class Older(Parameters):
        """As they were."""

        widths: int = 3

    save_model(tmp_path, params=Older())
    with pytest.raises(StorageError, match="did you mean 'width'"):
        load_parameters(tmp_path, Widths)


def test_weights_of_another_shape_are_no_damage(tmp_path: Path) -> None:
    save_model(tmp_path, network=_network(3))
    with pytest.raises(ConfigurationError, match="do not fit"):
        load_network(tmp_path, _network(4))


def test_a_part_without_a_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a object has no format"):
        save_model(tmp_path, state=object())  # type: ignore[arg-type]
