"""Torch's CPU threads and accelerate's state of the process; both are left as they were found."""

import contextlib
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import DistributedType

from modelyard.errors import ConfigurationError
from modelyard.project import Device
from modelyard.training.devices import find_device

_PLAIN = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)


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
def accelerator_on(choice: Device) -> Iterator[Accelerator]:
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
