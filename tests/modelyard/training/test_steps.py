"""What a step is: which optimizer, in how many pieces, of which part of the network, with what average of weights."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modelyard.errors import ConfigurationError
from modelyard.training.faults import TrainingError
from modelyard.training.randomness import seeded


def bits(network: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


def stopped_and_resumed(toy: SimpleNamespace, folder: Path, *arguments: Any, **options: Any) -> Any:
    def stop(epoch: int, value: float) -> None:
        if epoch == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        toy.fit(*arguments, checkpoints=folder, report=stop, **options)
    return toy.fit(*arguments, checkpoints=folder, **options)


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_named_optimizers_learn_and_resume(toy: SimpleNamespace, tmp_path: Path, optimizer: str) -> None:
    params = toy.PARAMS.model_copy(update={"optimizer": optimizer, "learning_rate": 0.05})
    whole = toy.fit(params)
    assert whole.history[-1].train_loss < whole.history[0].train_loss
    assert bits(whole.network) != bits(toy.fit(toy.PARAMS.model_copy(update={"learning_rate": 0.05})).network)
    assert bits(stopped_and_resumed(toy, tmp_path, params).network) == bits(whole.network)


def test_a_project_brings_its_own_optimizers(toy: SimpleNamespace, tmp_path: Path) -> None:
    rates: list[list[float]] = []

    def optimizer(network: nn.Sequential) -> list[torch.optim.Optimizer]:
        head = torch.optim.Adagrad(network[4].parameters(), lr=0.1)
        body = torch.optim.RMSprop(
            [{"params": network[0].parameters(), "lr": 0.01}, {"params": network[1].parameters()}]
        )
        groups = [*head.param_groups, *body.param_groups]
        body.register_step_pre_hook(lambda *_: rates.append([group["lr"] for group in groups]))
        return [head, body]

    whole = toy.fit(optimizer=optimizer)
    assert whole.history[-1].train_loss < whole.history[0].train_loss
    shares = np.array(rates) / np.array([0.1, 0.01, 0.01])
    assert shares.max() == pytest.approx(1)
    assert np.ptp(shares, axis=1).max() < 1e-12
    assert bits(stopped_and_resumed(toy, tmp_path, optimizer=optimizer).network) == bits(whole.network)


def test_pieces_of_a_batch_are_the_same_training(toy: SimpleNamespace) -> None:
    sizes: list[int] = []

    def loss(network: Any, batch: dict[str, Tensor]) -> Tensor:
        sizes.append(len(batch["y"]))
        return toy.loss(network, batch)  # type: ignore[no-any-return]

    def fit(pieces: int, steps: int = 2) -> nn.Module:
        with seeded(1):
            network = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))
        params = toy.PARAMS.model_copy(update={"gradient_accumulation_steps": pieces, "epochs": steps})
        fitted: nn.Module = toy.fit(params, network=network, loss=loss, evaluate=None).network
        return fitted

    whole, in_pieces = fit(1), fit(3)
    assert max(sizes[20:]) == 11
    assert sum(sizes[20:]) == sum(sizes[:20])
    for one, other in zip(whole.parameters(), in_pieces.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_averaged_weights_are_validated_returned_and_resumed(toy: SimpleNamespace, tmp_path: Path) -> None:
    params = toy.PARAMS.model_copy(update={"ema_decay": 0.9, "schedule": "constant"})
    steps: list[Tensor] = []

    def loss(network: Any, batch: dict[str, Tensor]) -> Tensor:
        steps.append(network[0].weight.detach().clone())
        return toy.loss(network, batch)  # type: ignore[no-any-return]

    seen: list[dict[str, bytes]] = []

    def evaluate(network: nn.Module) -> float:
        seen.append(bits(network))
        return float(len(seen))

    whole = toy.fit(params, loss=loss, evaluate=evaluate)
    average = steps[0]
    for number, weight in enumerate([*steps[1:], None]):
        if weight is None:  # what the last step made is not seen by the loss
            break
        average = torch.lerp(average, weight, 1 - min(0.9, (1 + number) / (10 + number)))
    assert bits(whole.network) == seen[-1]
    near = (whole.network[0].weight - average).abs().max()
    assert near < 0.2 * (average - steps[-1]).abs().max()
    assert bits(stopped_and_resumed(toy, tmp_path, params).network) == bits(toy.fit(params).network)
    last = toy.fit(params, evaluate=None)
    assert bits(last.network) == bits(whole.network)
    assert bits(last.network) != bits(toy.fit(params.model_copy(update={"ema_decay": None}), evaluate=None).network)


class Adversaries(nn.Module):
    """A generator of one number and a discriminator of it."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(1):
            self.generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
            self.discriminator = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, noise: Tensor) -> Tensor:
        answer: Tensor = self.generator(noise)
        return answer


def judged(network: Adversaries, batch: dict[str, Tensor]) -> Tensor:
    """The discriminator's loss (softplus form of Goodfellow et al. 2014)."""
    made = network.generator(torch.randn(len(batch["x"]), 2)).detach()
    softplus = nn.functional.softplus
    return (softplus(-network.discriminator(batch["x"])) + softplus(network.discriminator(made))).mean()


def forged(network: Adversaries, batch: dict[str, Tensor]) -> Tensor:
    """The generator's loss."""
    made = network.generator(torch.randn(len(batch["x"]), 2))
    return nn.functional.softplus(-network.discriminator(made)).mean()


def test_adversaries_take_turns(toy: SimpleNamespace, tmp_path: Path) -> None:
    arrays = {"x": np.random.default_rng(0).normal(3, 0.5, (512, 1)).astype(np.float32)}
    losses = {"discriminator": judged, "generator": forged}
    params = toy.PARAMS.model_copy(update={"epochs": 30, "learning_rate": 0.01, "schedule": "constant"})

    def mean_error(network: nn.Module) -> float:
        noise = torch.from_numpy(np.random.default_rng(1).normal(size=(500, 2)).astype(np.float32))
        return abs(network(noise).mean().item() - 3)

    options: dict[str, Any] = {"arrays": arrays, "loss": losses, "evaluate": mean_error, "greater_is_better": False}
    whole = toy.fit(params, network=Adversaries(), **options)
    assert whole.best.value < 0.3 < mean_error(Adversaries())
    assert whole.history[0].train_loss == pytest.approx(sum(whole.history[0].part_losses.values()))
    assert list(whole.history[0].part_losses) == ["discriminator", "generator"]
    resumed = stopped_and_resumed(toy, tmp_path, params, network=Adversaries(), **options)
    again = toy.fit(params, network=Adversaries(), **options)
    assert bits(again.network) == bits(whole.network)
    assert resumed.history[-1].part_losses == whole.history[-1].part_losses


def test_each_loss_moves_its_own_part_only(toy: SimpleNamespace) -> None:
    network = Adversaries()
    first = bits(network)
    arrays = {"x": np.ones((64, 1), np.float32)}
    fitted = toy.fit(network=network, arrays=arrays, loss={"generator": forged}, evaluate=None).network
    changed = {name for name, content in bits(fitted).items() if content != first[name]}
    assert changed == {name for name in first if name.startswith("generator")}
    slow = {"generator": lambda part: torch.optim.SGD(part.parameters(), lr=1e-9)}
    again = Adversaries()
    toy.fit(network=again, arrays=arrays, loss={"generator": forged}, evaluate=None, optimizer=slow)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(
        again.parameters(), Adversaries().parameters(), strict=True
    ))  # fmt: skip


def test_parts_that_do_not_fit(toy: SimpleNamespace) -> None:
    arrays = {"x": np.ones((64, 1), np.float32)}
    with pytest.raises(ConfigurationError, match="Adversaries has no part 'critic'"):
        toy.fit(network=Adversaries(), arrays=arrays, loss={"critic": judged})
    with pytest.raises(ConfigurationError, match=r"without torch\.compile"):
        params = toy.PARAMS.model_copy(update={"gradient_accumulation_steps": 2})
        toy.fit(params, network=Adversaries(), arrays=arrays, loss={"generator": forged})

    def broken(network: Adversaries, batch: dict[str, Tensor]) -> Tensor:
        return forged(network, batch) * float("nan")

    with pytest.raises(TrainingError, match="loss of generator became nan") as caught:
        toy.fit(network=Adversaries(), arrays=arrays, loss={"discriminator": judged, "generator": broken})
    assert caught.value.where == "epoch 1, batch 1 of 2"
