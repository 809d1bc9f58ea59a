import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import PartialState
from torch import nn

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.training.faults import TrainingError


def bits(network: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


def values_in_turn(*values: float) -> Any:
    remaining = iter(values)
    return lambda network: next(remaining)


def test_learns(toy: SimpleNamespace) -> None:
    result = toy.fit(toy.PARAMS.model_copy(update={"epochs": 15}))
    assert result.history[-1].train_loss < 0.6 * result.history[0].train_loss
    assert toy.accuracy(result.network) == result.best.value > 0.85
    assert not result.network.training


def test_same_seed_same_bits(toy: SimpleNamespace) -> None:
    first, again, other = toy.fit(), toy.fit(), toy.fit(seed=6)
    assert bits(first.network) == bits(again.network)
    assert [epoch.value for epoch in first.history] == [epoch.value for epoch in again.history]
    assert bits(first.network) != bits(other.network)


def test_history_tells_each_epoch(toy: SimpleNamespace) -> None:
    result = toy.fit()
    assert [epoch.number for epoch in result.history] == [1, 2, 3, 4, 5, 6]
    assert all(epoch.samples_per_second > 0 for epoch in result.history)
    rates = [epoch.learning_rate for epoch in result.history]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.01 * toy.PARAMS.learning_rate


def test_best_weights_are_kept_and_patience_ends_training(toy: SimpleNamespace) -> None:
    seen = []

    def evaluate(network: nn.Module) -> float:
        seen.append(bits(network))
        return [3.0, 1.0, 2.0, 1.0, 0.5, 0.4][len(seen) - 1]

    result = toy.fit(toy.PARAMS.model_copy(update={"patience": 2}), evaluate=evaluate, greater_is_better=False)
    assert (result.best_epoch, len(result.history), result.best.value) == (2, 4, 1.0)
    assert bits(result.network) == seen[1]


def test_without_evaluation_the_last_epoch_counts(toy: SimpleNamespace) -> None:
    reports: list[int] = []
    result = toy.fit(
        toy.PARAMS.model_copy(update={"patience": 1}), evaluate=None, report=lambda epoch, value: reports.append(epoch)
    )
    assert (result.best_epoch, result.best.value, reports) == (6, None, [])


def test_refit_follows_the_same_schedule_to_the_best_epoch(toy: SimpleNamespace) -> None:
    found = toy.fit(evaluate=values_in_turn(1, 2, 9, 3, 4, 5))
    refit = toy.fit(toy.PARAMS.stopping_after(found.best_epoch), evaluate=None)
    assert len(refit.history) == found.best_epoch == 3
    assert bits(refit.network) == bits(found.network)
    assert [e.learning_rate for e in refit.history] == [e.learning_rate for e in found.history[:3]]


def test_what_report_raises_passes(toy: SimpleNamespace, tmp_path: Path) -> None:
    class PrunedError(Exception):
        pass

    def prune(epoch: int, value: float) -> None:
        if epoch == 2:
            raise PrunedError

    with pytest.raises(PrunedError):
        toy.fit(report=prune, checkpoints=tmp_path)
    assert (tmp_path / "epoch_0002").is_dir()


def test_nothing_global_is_changed(toy: SimpleNamespace) -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    threads = torch.get_num_threads()
    expected = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    toy.fit(toy.PARAMS.model_copy(update={"epochs": 1}), n_threads=threads + 1)
    with pytest.raises(TrainingError):
        toy.fit(evaluate=lambda network: float("nan"), n_threads=threads + 1)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected
    assert torch.get_num_threads() == threads
    assert not PartialState._shared_state


def test_sampling_weights_choose_the_rows(toy: SimpleNamespace) -> None:
    seen: set[float] = set()

    def loss(network: Any, batch: dict[str, torch.Tensor]) -> Any:
        seen.update(batch["row"].tolist())
        return toy.loss(network, batch)

    weights = np.zeros(toy.N_ROWS)
    weights[[4, 7, 300]] = [1, 1, 8]
    arrays = toy.rows(1) | {"row": np.arange(toy.N_ROWS)}
    first = toy.fit(arrays=arrays, loss=loss, sampling_weights=weights)
    assert seen == {4, 7, 300}
    assert bits(first.network) == bits(toy.fit(arrays=arrays, sampling_weights=weights).network)
    with pytest.raises(ConfigurationError, match="sampling weights"):
        toy.fit(sampling_weights=weights[:-1])


def test_compiled_network_trains_and_a_failed_compilation_is_explained(
    toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler here")

    compile_ = torch.compile
    params = toy.PARAMS.model_copy(update={"epochs": 2, "compile": True})
    monkeypatch.setattr(torch, "compile", lambda network: compile_(network, backend="eager"))
    compiled = toy.fit(params, network=toy.network(dropout=0.0))
    plain = toy.fit(params.model_copy(update={"compile": False}), network=toy.network(dropout=0.0))
    assert bits(compiled.network) == bits(plain.network)
    monkeypatch.setattr(torch, "compile", lambda network: compile_(network, backend=broken))
    with pytest.raises(ConfigurationError, match="compile to false"):
        toy.fit(params)


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        (np.nan, r"inputs hold missing or infinite values: 'x' \(first in row 17\)"),
        (3e38, "lower learning_rate"),
    ],
)
def test_broken_loss_names_place_and_way_out(toy: SimpleNamespace, planted: float, message: str) -> None:
    arrays = toy.rows(1)
    arrays["x"][17, 2] = planted

    def loss(network: Any, batch: dict[str, torch.Tensor]) -> Any:
        return (network[0](batch["x"]) ** 2).mean()

    with pytest.raises(TrainingError, match=message) as caught:
        toy.fit(arrays=arrays, loss=loss)
    assert "epoch 1, batch " in caught.value.where


def test_broken_gradient_is_seen_in_its_own_batch(toy: SimpleNamespace) -> None:
    def loss(network: Any, batch: dict[str, torch.Tensor]) -> Any:
        return toy.loss(network, batch) + 0 * network[0].weight.sub(network[0].weight).sqrt().sum()

    with pytest.raises(TrainingError, match="gradient's norm became nan") as caught:
        toy.fit(loss=loss)
    assert caught.value.where == "epoch 1, batch 1 of 10"


def test_broken_validation_value(toy: SimpleNamespace) -> None:
    with pytest.raises(TrainingError, match="validation value became nan") as caught:
        toy.fit(evaluate=values_in_turn(0.5, float("nan")))
    assert caught.value.where == "epoch 2"


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory: ...")],
)
def test_exhausted_memory_names_batch_size(toy: SimpleNamespace, error: Exception) -> None:
    def loss(network: Any, batch: dict[str, torch.Tensor]) -> Any:
        raise error

    with pytest.raises(TrainingError, match="batch_size 32") as caught:
        toy.fit(loss=loss)
    assert "batch_size to 16" in caught.value.way_out
    assert caught.value.where == "epoch 1, batch 1 of 10"


def test_a_bug_in_the_loss_is_not_dressed_up(toy: SimpleNamespace) -> None:
    with pytest.raises(KeyError, match="missing"):
        toy.fit(loss=lambda network, batch: batch["missing"])
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        toy.fit(loss=lambda network, batch: network(batch["x"][:, :5]).mean())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"arrays": {"x": np.zeros((0, 6)), "y": np.zeros(0)}}, DataContractError, "no rows"),
        ({"arrays": {"x": np.zeros((5, 6)), "y": np.zeros(4)}}, ConfigurationError, "'x': 5, 'y': 4"),
        ({"arrays": {"x": np.array(["a"])}}, ConfigurationError, "dtype <U1"),
        ({"arrays": {"x": np.array(1.0)}}, ConfigurationError, "one entry per row"),
        ({"loss": lambda network, batch: network(batch["x"])}, ConfigurationError, r"shape \(32,\)"),
        ({"network": nn.Identity()}, ConfigurationError, "no weights"),
    ],
)
def test_arguments_that_do_not_fit(
    toy: SimpleNamespace, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        toy.fit(**options)


def test_missing_device_is_named(toy: SimpleNamespace) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this machine has the device that must be missing")
    with pytest.raises(ConfigurationError, match=r"'mps' was asked for.*cpu"):
        toy.fit(device="mps")
