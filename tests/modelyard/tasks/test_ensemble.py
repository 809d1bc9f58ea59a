"""Networks of an ensemble differ by their seed, stop where validation says, and come back from disk to the bit."""

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn

from modelyard.errors import StorageError
from modelyard.parameters import Parameters
from modelyard.project import FitRun
from modelyard.tasks.ensemble import Ensemble, ensemble_logits, fit_ensemble, load_ensemble, save_ensemble
from modelyard.training.parameters import LoopParameters

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (200, 3)).astype(np.float32)
ARRAYS = {"x": X, "y": X.sum(axis=1)}
LOOP = LoopParameters(epochs=4, batch_size=32, learning_rate=0.05, patience=9)


class Size(Parameters):
    ensemble_size: int = Field(2, ge=1, description="Networks.")


def build(_: Size | None = None) -> nn.Module:
    return nn.Linear(3, 1)


def loss(network, batch):
    return ((network(batch["x"])[:, 0] - batch["y"]) ** 2).mean()


def fit(folder, reports, **more):
    run = FitRun(seed=3, folder=folder, report=lambda *report: reports.append(report), n_threads=1)
    return fit_ensemble(build, ARRAYS, loss, LOOP, run, **{"ensemble_size": 2} | more)


def error(network):
    with torch.no_grad():
        return float(loss(network, {name: torch.tensor(values) for name, values in ARRAYS.items()}))


def test_networks_differ_and_every_epoch_of_each_is_reported(tmp_path):
    reports = []
    networks, epochs = fit(tmp_path, reports, evaluate=error, greater_is_better=False)
    assert [step for step, _ in reports] == list(range(1, 9))
    values = [value for _, value in reports]
    assert epochs == (1 + int(np.argmin(values[:4])), 1 + int(np.argmin(values[4:])))
    assert not torch.equal(networks[0].weight, networks[1].weight)
    assert not any(network.training for network in networks)


def test_the_epochs_that_were_chosen_give_the_same_networks_again(tmp_path):
    fewest, _ = fit(tmp_path / "a", [], best_epochs=(2, 3))
    again, epochs = fit(tmp_path / "b", [], best_epochs=(2, 3))
    whole, _ = fit(tmp_path / "c", [])
    assert epochs == (2, 3)
    assert all(torch.equal(one.weight, other.weight) for one, other in zip(fewest, again, strict=True))
    assert not torch.equal(fewest[0].weight, whole[0].weight)


def test_logits_are_those_of_each_network(tmp_path):
    networks, _ = fit(tmp_path, [])
    found = ensemble_logits(networks, {"x": X}, lambda network, batch: network(batch["x"])[:, 0], batch_size=64)
    assert (found.shape, found.dtype) == ((2, 200), np.float64)
    with torch.no_grad():
        assert found[1] == pytest.approx(networks[1](torch.tensor(X))[:, 0].numpy(), abs=1e-6)


def test_an_ensemble_comes_back_as_it_was(tmp_path):
    networks, _ = fit(tmp_path / "fit", [])
    (tmp_path / "model").mkdir()
    save_ensemble(Ensemble(params=Size(), networks=networks), tmp_path / "model")
    loaded = load_ensemble(tmp_path / "model", Size, build)
    assert loaded.params == Size()
    assert all(torch.equal(one.weight, other.weight) for one, other in zip(loaded.networks, networks, strict=True))
    (tmp_path / "model" / "networks_1.safetensors").unlink()
    with pytest.raises(StorageError, match="cannot be read"):
        load_ensemble(tmp_path / "model", Size, build)
