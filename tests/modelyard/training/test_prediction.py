from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modelyard.errors import ConfigurationError, DataContractError, StorageError
from modelyard.training.prediction import predict
from modelyard.training.weights import load_weights, save_weights


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.scale * torch.stack([left + right, left - right], dim=1)


def test_arrays_reach_the_arguments_of_their_names() -> None:
    left, right = np.arange(10.0), np.ones(10)
    answers = predict(Sum(), {"right": right, "left": left}, batch_size=4)
    np.testing.assert_array_equal(answers, 2 * np.stack([left + 1, left - 1], axis=1))
    assert answers.dtype == np.float32


def test_mode_is_put_back_and_dropout_is_off(toy: SimpleNamespace) -> None:
    network = toy.network().train()
    first = toy.scores(network)
    np.testing.assert_array_equal(first, toy.scores(network))
    assert network.training
    with pytest.raises(TypeError):
        predict(network, {"wrong_name": toy.rows(2)["x"]})
    assert network.training
    network.eval()
    toy.scores(network)
    assert not network.training


def test_answers_do_not_share_the_batch_buffer() -> None:
    rows = np.arange(9.0, dtype=np.float32)
    np.testing.assert_array_equal(predict(nn.Identity(), {"input": rows}, batch_size=2), rows)


def test_no_rows() -> None:
    with pytest.raises(DataContractError, match="no rows"):
        predict(Sum(), {"left": np.zeros(0), "right": np.zeros(0)})


def test_saved_weights_come_back_to_the_bit(toy: SimpleNamespace, tmp_path: Path) -> None:
    trained = toy.fit().network
    save_weights(trained, tmp_path / "weights.safetensors")
    save_weights(trained, tmp_path / "again.safetensors")
    loaded = load_weights(toy.network(), tmp_path / "weights.safetensors").eval()
    np.testing.assert_array_equal(toy.scores(loaded), toy.scores(trained))
    assert (tmp_path / "weights.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.head.weight = self.embedding.weight

    first = Tied()
    save_weights(first, tmp_path / "tied.safetensors")
    loaded = load_weights(Tied(), tmp_path / "tied.safetensors")
    assert torch.equal(loaded.embedding.weight, first.embedding.weight)
    assert loaded.embedding.weight is loaded.head.weight


def test_weights_that_cannot_be_loaded(toy: SimpleNamespace, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    with pytest.raises(StorageError, match="cannot be read"):
        load_weights(toy.network(), file)
    save_weights(Sum(), file)
    with pytest.raises(ConfigurationError, match="do not fit the network Sequential"):
        load_weights(toy.network(), file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StorageError, match="cannot be read"):
        load_weights(Sum(), file)
