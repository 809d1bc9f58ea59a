"""What steers the loop, and the learning rate that follows from it."""

import math
from typing import Literal, Self

from pydantic import Field

from modelyard.parameters import Parameters


class LoopParameters(Parameters):
    """Steers :func:`modelyard.training.loop.train`; a project nests it as ``loop``."""

    epochs: int = Field(20, ge=1, description="Passes over the rows that the learning-rate schedule spans.")
    best_epoch: int | None = Field(
        None,
        ge=1,
        description="Epoch that validation rows chose: training ends after it, while the schedule still spans `epochs`."
        " None: all epochs are trained.",
    )
    batch_size: int = Field(256, ge=1, description="Rows per optimizer step, over all devices together.")
    gradient_accumulation_steps: int = Field(
        1, ge=1, description="Parts that a batch is cut into where memory is short; their gradients add up to its step."
    )
    optimizer: Literal["adamw", "sgd", "muon"] = Field(
        "adamw",
        description="AdamW, gradient descent with Nesterov's momentum, or Muon (with AdamW for all but matrices).",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate.")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="Learning rate after the warm-up: falling to 0 along half a cosine, or staying."
    )
    warmup_share: float = Field(
        0.05, ge=0, lt=1, description="Share of all steps in which the learning rate rises linearly."
    )
    weight_decay: float = Field(
        0.01, ge=0, description="Decay of all weights: decoupled in AdamW and Muon, an L2 penalty in gradient descent."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of gradient descent and of Muon.")
    ema_decay: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="The weights that count are an average over the steps, of which this share stays at each step."
        " None: the weights themselves.",
    )
    clip_norm: float | None = Field(
        1.0, gt=0, description="Gradients are scaled down to this L2 norm. None: they are not."
    )
    patience: int | None = Field(
        None, ge=1, description="Epochs without a better validation value before training stops. None: it never does."
    )
    compile: bool = Field(False, description="Whether torch.compile compiles the network (needs a C++ compiler).")

    def stopping_after(self, epoch: int) -> Self:
        """Returns the same loop cut after ``epoch``, without early stopping, for a refit without validation rows.

        The learning rate follows the same curve over the epochs as in the run that found ``epoch``.
        """
        return self.model_copy(update={"best_epoch": epoch, "patience": None})

    @property
    def last_epoch(self) -> int:
        """Number of the last epoch that is trained when nothing stops it earlier."""
        return min(self.epochs, self.best_epoch or self.epochs)


def learning_rate(step: int, steps: int, params: LoopParameters) -> float:
    """Learning rate of optimizer step ``step`` (from 0) of ``steps``: linear warm-up, then cosine or constant.

    Cosine without restarts: Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, equation 5.
    """
    warmup = round(params.warmup_share * steps)
    if step < warmup:
        return params.learning_rate * (step + 1) / warmup
    if params.schedule == "constant":
        return params.learning_rate
    share = (step - warmup) / max(1, steps - warmup)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
