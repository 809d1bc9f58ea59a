from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modelyard.training import devices
from modelyard.training.devices import find_precision, precision_in_words
from modelyard.training.randomness import seeded

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def convolutional() -> nn.Sequential:
    with seeded(1):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(32, 1), nn.Flatten(0),
        )  # fmt: skip


@pytest.fixture
def image_fit(toy: SimpleNamespace) -> Callable[..., Any]:
    x = np.random.default_rng(0).normal(size=(64, 3, 4, 4)).astype(np.float32)
    params = toy.PARAMS.model_copy(update={"epochs": 4, "batch_size": 16})

    better = count()  # over all fits of a test, so that the last epoch is always the best

    def fit(**options: Any) -> Any:
        arrays = {"x": x, "y": x[:, 0, 0, 0] > 0}
        own = {"network": convolutional(), "arrays": arrays, "evaluate": lambda network: next(better)}
        return toy.fit(params, **(own | options))

    return fit


@pytest.mark.parametrize("is_native", [True, False])
def test_auto_takes_bfloat16_where_it_is_native(monkeypatch: pytest.MonkeyPatch, is_native: bool) -> None:
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: is_native)
    better = torch.bfloat16 if is_native else torch.float32
    assert find_precision("auto", CPU, convolutional()) == better
    assert find_precision("auto", CPU, nn.GRU(3, 4)) == torch.float32
    assert find_precision("auto", CUDA, nn.GRU(3, 4)) == better
    assert find_precision("bfloat16", CPU, nn.GRU(3, 4)) == torch.bfloat16
    assert find_precision("float32", CUDA, convolutional()) == torch.float32
    words = {CPU: "bfloat16 for networks with convolutions, float32 for others", CUDA: "bfloat16"}
    for device in (CPU, CUDA):
        assert precision_in_words("auto", device) == (words[device] if is_native else "float32")
    assert precision_in_words("bfloat16", CPU) == "bfloat16"


def test_only_the_loss_is_in_bfloat16(toy: SimpleNamespace, image_fit: Callable[..., Any]) -> None:
    seen: dict[str, Any] = {}

    def loss(network: Any, batch: dict[str, Tensor]) -> Tensor:
        logits = network(batch["x"])
        seen["logits"], seen["weights"] = logits.dtype, network[3].weight
        seen["is_channels_last"] = network[3].weight.is_contiguous(memory_format=torch.channels_last)
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), batch["y"].float())

    def evaluate(network: Any) -> float:
        seen["validation"] = network(torch.zeros(2, 3, 4, 4)).dtype
        return 0.5

    result = image_fit(precision="bfloat16", loss=loss, evaluate=evaluate)
    assert (seen["logits"], seen["validation"], seen["weights"].dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert seen["is_channels_last"]
    assert all(weight.is_contiguous() for weight in result.network.parameters())
    image_fit(precision="float32", loss=loss)
    assert (seen["logits"], seen["is_channels_last"]) == (torch.float32, False)


def test_a_resumed_run_in_bfloat16_gives_the_same_bits(
    toy: SimpleNamespace, image_fit: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(epoch: int, value: float) -> None:
        if epoch == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        image_fit(precision="bfloat16", checkpoints=tmp_path, report=stop)
    other = image_fit(precision="float32", checkpoints=tmp_path / "other").network.state_dict()
    resumed = image_fit(precision="bfloat16", checkpoints=tmp_path).network.state_dict()
    whole = image_fit(precision="bfloat16").network.state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert not torch.equal(other["0.weight"], whole["0.weight"])
    image_fit(precision="float32", checkpoints=tmp_path)
    assert "belongs to a run with other data, parameters" in caplog.text
