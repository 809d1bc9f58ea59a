"""What steers the loop: one frozen record, readable by Kedro and pydantic without needing either."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, get_args, get_origin

from modelyard.errors import ConfigurationError


def _bounded(default: Any, description: str, **bounds: float) -> Any:
    # Pydantic reads a dataclass field's metadata as arguments of its own ``Field``: one place for text and bounds.
    return field(default=default, metadata={"description": description, **bounds})


@dataclass(frozen=True, kw_only=True)
class LoopParameters:
    """Steers :func:`modelyard.training.loop.train`.

    A standard dataclass, so that the loop runs without pydantic; as a field of a pydantic model it is validated,
    converted and documented like any other parameter, and a misspelt name is an error.

    Raises:
        ConfigurationError: A value is out of its bounds.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    epochs: int = _bounded(20, "Passes over the rows that the learning-rate schedule spans.", ge=1)
    stop_after: int | None = _bounded(
        None, "Epochs really trained; the schedule still spans `epochs`. None: all of them.", ge=1
    )
    batch_size: int = _bounded(256, "Rows per optimizer step, over all devices together.", ge=1)
    learning_rate: float = _bounded(1e-3, "Peak learning rate of AdamW.", gt=0)
    schedule: Literal["cosine", "constant"] = _bounded(
        "cosine", "Learning rate after the warm-up: falling to 0 along half a cosine, or staying."
    )
    warmup_share: float = _bounded(0.05, "Share of all steps in which the learning rate rises linearly.", ge=0, lt=1)
    weight_decay: float = _bounded(0.01, "Decoupled decay of all weights, as in torch's AdamW.", ge=0)
    clip_norm: float | None = _bounded(1.0, "Gradients are scaled down to this L2 norm. None: they are not.", gt=0)
    patience: int | None = _bounded(
        None, "Epochs without a better validation value before training stops. None: it never stops early.", ge=1
    )
    compile: bool = _bounded(False, "Whether the network is compiled with torch.compile (needs a C++ compiler).")
    device: Literal["auto", "cuda", "mps", "cpu"] = _bounded("auto", "Where to train; auto: the best that is there.")

    def __post_init__(self) -> None:
        for spec in fields(self):
            _check(spec.name, getattr(self, spec.name), spec.type, spec.metadata)

    def stopping_after(self, epoch: int) -> "LoopParameters":
        """The same loop cut after ``epoch``, without early stopping: how a refit without validation rows trains.

        The learning rate follows the same curve over the epochs as in the run that found ``epoch``.
        """
        return replace(self, stop_after=epoch, patience=None)

    @property
    def last_epoch(self) -> int:
        """Number of the last epoch that is trained when nothing stops it earlier."""
        return min(self.epochs, self.stop_after or self.epochs)

    def values(self) -> dict[str, Any]:
        """Name to value, for logs and digests."""
        return asdict(self)


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


def _check(name: str, value: Any, annotation: Any, metadata: Mapping[str, Any]) -> None:
    tests = {"ge": lambda v, b: v >= b, "gt": lambda v, b: v > b, "lt": lambda v, b: v < b}
    symbols = {"ge": ">=", "gt": ">", "lt": "<"}
    if get_origin(annotation) is Literal and value not in get_args(annotation):
        raise _out_of_bounds(name, value, f"one of {', '.join(get_args(annotation))}")
    for bound in tests.keys() & metadata.keys():
        if value is not None and not tests[bound](value, metadata[bound]):
            raise _out_of_bounds(name, value, f"{symbols[bound]} {metadata[bound]}")


def _out_of_bounds(name: str, value: Any, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"The loop parameter {name} is {value!r}; allowed: {allowed}.", where=f"LoopParameters.{name}"
    )
