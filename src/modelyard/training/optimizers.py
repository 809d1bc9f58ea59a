"""Optimizers by name. A project may bring its own: a function of the network that returns one optimizer or several.

Each group's learning rate is the peak of its own schedule: the loop multiplies all of them by the same factor.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer

from modelyard.errors import ConfigurationError
from modelyard.training.parameters import LoopParameters

OptimizerFactory: TypeAlias = Callable[[nn.Module], Optimizer | Sequence[Optimizer]]


def named_optimizers(network: nn.Module, params: LoopParameters) -> list[Optimizer]:
    """Returns the optimizers that ``params.optimizer`` names, over the trainable weights of ``network``."""
    return {"adamw": adamw, "sgd": sgd, "muon": muon}[params.optimizer](network, params)


def adamw(network: nn.Module, params: LoopParameters) -> list[Optimizer]:
    """AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) over one group of weights.

    A second group, which would spare biases and norms the decay, would launch its kernels twice in each step.
    """
    return [_adamw(trainable_weights(network), params)]


def sgd(network: nn.Module, params: LoopParameters) -> list[Optimizer]:
    """Gradient descent with Nesterov's momentum (Sutskever et al. 2013); the decay is an L2 penalty, as in torch."""
    weights = trainable_weights(network)
    is_nesterov = params.momentum > 0
    return [
        torch.optim.SGD(
            weights,
            lr=params.learning_rate,
            momentum=params.momentum,
            nesterov=is_nesterov,
            weight_decay=params.weight_decay,
            fused=_can_be_fused(weights),
        )
    ]


def muon(network: nn.Module, params: LoopParameters) -> list[Optimizer]:
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) for matrices, AdamW for all other weights.

    Embeddings are looked up, not multiplied, and so belong to AdamW. Updates of Muon are scaled to AdamW's size (Liu et
    al. 2025, https://arxiv.org/abs/2502.16982): both take the same learning rate and decay.
    """
    looked_up = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    weights = trainable_weights(network)
    matrices = [weight for weight in weights if weight.ndim == 2 and id(weight) not in looked_up]
    others = [weight for weight in weights if weight.ndim != 2 or id(weight) in looked_up]
    optimizers: list[Optimizer] = []
    if matrices:
        optimizers.append(
            torch.optim.Muon(
                matrices,
                lr=params.learning_rate,
                weight_decay=params.weight_decay,
                momentum=params.momentum,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return optimizers + ([_adamw(others, params)] if others else [])


def trainable_weights(network: nn.Module) -> list[nn.Parameter]:
    """Returns the weights that require a gradient.

    Raises:
        ConfigurationError: There are none.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if not weights:
        raise ConfigurationError("The network has no weights to train.", where=type(network).__name__)
    return weights


def _adamw(weights: list[nn.Parameter], params: LoopParameters) -> Optimizer:
    fused = _can_be_fused(weights)
    return torch.optim.AdamW(weights, lr=params.learning_rate, weight_decay=params.weight_decay, fused=fused)


def _can_be_fused(weights: Sequence[nn.Parameter]) -> bool:
    return all(weight.device.type in ("cpu", "cuda") and weight.is_floating_point() for weight in weights)
