"""What can go wrong while a network trains, as errors that name the way out."""

import contextlib
from collections.abc import Iterator

import torch

from modelyard.errors import ConfigurationError, ModelyardError
from modelyard.training.parameters import LoopParameters

# As MPS and the CPU's allocator say it; CUDA has a class of its own.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory")


class TrainingError(ModelyardError):
    """Training cannot go on: the loss is not finite, or memory has run out."""


def not_finite_error(what: str, where: str, params: LoopParameters, bad_rows: dict[str, int]) -> TrainingError:
    """The error for a loss or a gradient that is NaN or infinite.

    Args:
        what: What is not finite, with its value.
        where: Epoch and batch.
        params: The loop's parameters; those that help are named with their values.
        bad_rows: Array to row of inputs that are themselves not finite: then they are the cause.
    """
    if bad_rows:
        cause = " and ".join(f"{name!r} (first in row {row})" for name, row in bad_rows.items())
        return TrainingError(
            f"{what}, because the inputs hold missing or infinite values: {cause}.",
            where=where,
            way_out="fill or drop them before training",
        )
    clip = "set clip_norm to 1.0" if params.clip_norm is None else f"lower clip_norm (now {params.clip_norm:g})"
    return TrainingError(
        f"{what}; the inputs are finite, so training diverged.",
        where=where,
        way_out=f"lower learning_rate (now {params.learning_rate:g}), lengthen warmup_share "
        f"(now {params.warmup_share:g}) or {clip}",
    )


@contextlib.contextmanager
def explained(where: object, device: torch.device, params: LoopParameters) -> Iterator[None]:
    """Turns an exhausted memory and a failed compilation inside the block into errors with a way out.

    Args:
        where: Printed only when something failed, so it may say how far the block came.
        device: Whose memory is used.
        params: The loop's parameters.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY):
            raise TrainingError(
                f"The memory of {device} ran out with batch_size {params.batch_size}.",
                where=str(where),
                way_out=f"set gradient_accumulation_steps to {2 * params.gradient_accumulation_steps} (the same "
                f"training in smaller pieces) or batch_size to {max(1, params.batch_size // 2)}, or make the network "
                "smaller",
            ) from error
        if params.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise ConfigurationError(
                f"torch.compile failed: {str(error).strip().splitlines()[0]}",
                where=str(where),
                way_out="set compile to false, or install a C++ compiler (g++)",
            ) from error
        raise
