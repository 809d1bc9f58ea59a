"""Where a network trains, and what it computes in: float32, or bfloat16 where the hardware has it.

The weights are float32 in both cases; bfloat16 is torch's autocast around the loss, and around nothing else.
"""

import torch
from torch import nn

from modelyard.errors import ConfigurationError
from modelyard.project import Device, Precision


def find_device(choice: Device = "auto") -> torch.device:
    """Returns the device called ``choice``; ``auto`` prefers CUDA to MPS to the CPU.

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


def find_precision(choice: Precision, device: torch.device, network: nn.Module) -> torch.dtype:
    """Returns torch.bfloat16 or torch.float32: what the loss of ``network`` is computed in on ``device``.

    ``auto`` takes bfloat16 where the device computes in it (:func:`has_bfloat16`); on a CPU for networks with
    two-dimensional convolutions only. Decision 12 has the measurements.
    """
    if choice == "auto":
        is_worth_it = has_bfloat16(device) and (device.type != "cpu" or has_convolutions(network))
        return torch.bfloat16 if is_worth_it else torch.float32
    return torch.bfloat16 if choice == "bfloat16" else torch.float32


def precision_in_words(choice: Precision, device: torch.device) -> str:
    """Returns what ``choice`` means on ``device`` for any network, as the run record says it."""
    if choice != "auto":
        return choice
    if not has_bfloat16(device):
        return "float32"
    return "bfloat16" if device.type != "cpu" else "bfloat16 for networks with convolutions, float32 for others"


def has_bfloat16(device: torch.device) -> bool:
    """Returns whether the hardware computes in bfloat16, instead of emulating it.

    On CUDA that is Ampere and later; on a CPU AVX512_BF16 or AMX. MPS is not asked.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def has_convolutions(network: nn.Module) -> bool:
    """Returns whether a weight has four axes, as those of two-dimensional convolutions have."""
    return any(weight.ndim == 4 for weight in network.parameters())
