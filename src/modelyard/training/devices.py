"""The device, its threads and accelerate's process state; each is left as it was found."""

import contextlib
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import DistributedType

from modelyard.errors import ConfigurationError

_PLAIN = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)


def find_device(choice: str = "auto") -> torch.device:
    """The device called ``choice`` (``auto``, ``cuda``, ``mps``, ``cpu``); ``auto`` prefers them in that order.

    Raises:
        ConfigurationError: The chosen device is not there.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if choice == "auto":
        return torch.device(next(name for name, is_present in present.items() if is_present))
    if not present.get(choice, False):
        raise ConfigurationError(
            f"The device {choice!r} was asked for; this machine and this build of torch offer "
            f"{', '.join(name for name, is_present in present.items() if is_present)}.",
            where="device",
            way_out="set device to auto, or install a build of torch for that device",
        )
    return torch.device(choice)


def uses_bfloat16(device: torch.device) -> bool:
    """Whether the loop computes in bfloat16 there: on CUDA devices that have it in hardware (Ampere and later)."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@contextlib.contextmanager
def cpu_threads(n_threads: int | None) -> Iterator[None]:
    """Torch uses ``n_threads`` CPU threads inside the block; None leaves the number alone."""
    before = torch.get_num_threads()
    try:
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def accelerator_on(choice: str) -> Iterator[Accelerator]:
    """An Accelerator for the chosen device: one process, or one of several started by torchrun or accelerate.

    Accelerate keeps the first device and precision of a process for ever; here they are forgotten afterwards, so
    that a later call may choose again. A state that the caller made before, and a process group, stay.

    Raises:
        ConfigurationError: The device is not there, or accelerate was told to shard (FSDP, DeepSpeed).
    """
    is_ours = not PartialState._shared_state
    accelerator = Accelerator(cpu=find_device(choice).type == "cpu", mixed_precision="no" if is_ours else None)
    try:
        if accelerator.distributed_type not in _PLAIN:
            raise ConfigurationError(
                f"{accelerator.distributed_type} was asked for; the loop trains on one device or data-parallel (DDP).",
                where="the environment of accelerate launch",
                way_out="launch with --multi_gpu, without FSDP and DeepSpeed",
            )
        yield accelerator
    finally:
        if is_ours and accelerator.distributed_type == DistributedType.NO:
            AcceleratorState._reset_state(reset_partial_state=True)
            GradientState._reset_state()
