"""Batches straight from arrays: no loader, no worker processes, buffers that are used again.

Measured on two CPU cores (``numpy.take`` into a kept buffer / ``tensor[rows]``): 256 rows of 32 numbers 2 / 12 us,
128 images of 3 x 32 x 32 49 / 600 us. Three ways, chosen by :class:`Batches` itself:

- on a CUDA device with room (a quarter of its free memory), the arrays move there once and rows are picked there;
- arrays on disk, and arrays too large for the CUDA device, are read by one background thread, a batch ahead;
- everything else is copied into one buffer just before it is used.

Rows inside a batch are in ascending order: reads from disk go forward only, and nothing that is learnt depends on
the order inside a batch.
"""

import mmap
import warnings
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from modelyard.errors import ConfigurationError, DataContractError

Array: TypeAlias = np.ndarray | Tensor
Batch: TypeAlias = dict[str, Tensor]

_RESIDENT_SHARE = 0.25
_SLOTS = 2


class Batches:
    """Rows of several arrays of one length, as tensors on a device.

    Args:
        arrays: Name to array of shape (N, ...): numpy arrays, memory maps or tensors, of numbers or booleans.
            float64 arrives in the batch as float32, everything else as it is.
        device: Where the batches are needed.
        batch_size: Rows of a full batch; one more must fit, see :func:`blocks_of`.

    Raises:
        DataContractError: There are no rows.
        ConfigurationError: No arrays, arrays of different lengths, or of things that are not numbers.
    """

    def __init__(self, arrays: Mapping[str, Array], device: torch.device, batch_size: int) -> None:
        self.n_rows = _common_length(arrays)
        self.device = device
        self.host = {name: _as_rows(name, array) for name, array in arrays.items()}
        self._resident = self._moved_to_device() if self._has_room_on_device() else None
        self._reads_ahead = device.type == "cuda" or any(_is_on_disk(array) for array in self.host.values())
        n_slots = 0 if self._resident is not None else _SLOTS if self._reads_ahead else 1
        rows = min(batch_size + 1, self.n_rows)
        self._slots = [_Slot(self.host, rows, device) for _ in range(n_slots)]

    def walk(self, blocks: Sequence[np.ndarray]) -> Generator[Batch, None, None]:
        """Yields the batch of each block of row numbers; its tensors are valid until the next one is asked for."""
        if self._resident is not None:
            # All row numbers go over at once: a small copy before each batch would make the host wait for the device.
            everything = torch.from_numpy(np.concatenate(blocks)).to(self.device)
            for index in torch.split(everything, [len(rows) for rows in blocks]):
                yield {name: tensor.index_select(0, index) for name, tensor in self._resident.items()}
        elif self._reads_ahead:
            yield from self._walk_ahead(blocks)
        else:
            for rows in blocks:
                self._slots[0].fill(self.host, rows)
                yield self._slots[0].on_device()

    def _walk_ahead(self, blocks: Sequence[np.ndarray]) -> Generator[Batch, None, None]:
        with ThreadPoolExecutor(max_workers=1) as reader:
            pending = [reader.submit(self._slots[0].fill, self.host, rows) for rows in blocks[:1]]
            for number in range(len(blocks)):
                pending.pop().result()
                following = self._slots[(number + 1) % _SLOTS]
                pending += [reader.submit(following.fill, self.host, rows) for rows in blocks[number + 1 : number + 2]]
                yield self._slots[number % _SLOTS].on_device()

    def _has_room_on_device(self) -> bool:
        if self.device.type != "cuda":
            return False
        free_bytes, _ = torch.cuda.mem_get_info(self.device)
        return sum(array.nbytes for array in self.host.values()) <= _RESIDENT_SHARE * free_bytes

    def _moved_to_device(self) -> Batch:
        return {name: _to_device(_without_copy(array), self.device) for name, array in self.host.items()}


class _Slot:
    """Buffers for one batch; on CUDA page-locked, and not refilled before they have been copied."""

    def __init__(self, arrays: Mapping[str, np.ndarray], most_rows: int, device: torch.device) -> None:
        self._device = device
        self._n_rows = 0
        self._copied: torch.cuda.Event | None = None
        self._buffers: Batch = {}
        for name, array in arrays.items():
            # Torch's memory, not numpy's: it lies at 64-byte boundaries, which vectorised kernels read faster.
            buffer = torch.from_numpy(np.empty(0, array.dtype)).new_empty((most_rows, *array.shape[1:]))
            self._buffers[name] = buffer.pin_memory() if device.type == "cuda" else buffer
        self._written = {name: buffer.numpy() for name, buffer in self._buffers.items()}

    def fill(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
        if self._copied is not None:
            self._copied.synchronize()
        for name, array in arrays.items():
            target = self._written[name][: len(rows)]
            if array.flags.c_contiguous:
                np.take(array, rows, axis=0, out=target, mode="clip")
            else:  # a strided view of a memory map, which take() would copy whole
                np.copyto(target, array[rows])
        self._n_rows = len(rows)

    def on_device(self) -> Batch:
        batch = {name: _to_device(buffer[: self._n_rows], self._device) for name, buffer in self._buffers.items()}
        if self._device.type == "cuda":
            self._copied = torch.cuda.current_stream(self._device).record_event()
        return batch


def blocks_of(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cuts ``order`` into batches of ascending row numbers; the last one may be smaller.

    A single row left over joins the batch before it: batch normalisation cannot train on one row.
    """
    ends = list(range(batch_size, len(order), batch_size))
    if ends and len(order) - ends[-1] == 1:
        ends.pop()
    return [np.sort(part) for part in np.split(order, ends)]


def share_of(order: np.ndarray, process: int, n_processes: int) -> np.ndarray:
    """The rows of one of several processes; first rows are repeated so that all have equally many."""
    padded = np.resize(order, -(-len(order) // n_processes) * n_processes)
    return padded[process::n_processes]


def not_finite(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, int]:
    """Name of each array that holds NaN or infinity in ``rows``, with the first such row."""
    found = {}
    for name, array in arrays.items():
        if array.dtype.kind in "fc":
            bad = rows[~np.isfinite(array[rows]).reshape(len(rows), -1).all(axis=1)]
            if len(bad):
                found[name] = int(bad[0])
    return found


def _common_length(arrays: Mapping[str, Array]) -> int:
    if not arrays or any(array.ndim == 0 for array in arrays.values()):
        raise ConfigurationError("The loop needs at least one array, each with one entry per row.", where="arrays")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigurationError(
            f"The arrays have different numbers of rows: {lengths}.",
            where="arrays",
            way_out="give every array one entry per example, in the same order",
        )
    n_rows = next(iter(lengths.values()))
    if n_rows == 0:
        raise DataContractError(
            "There are no rows.",
            where=f"arrays {', '.join(arrays)}",
            way_out="check the split and the filters before it",
        )
    return n_rows


def _as_rows(name: str, array: Array) -> np.ndarray:
    if isinstance(array, Tensor):
        here = array.detach().cpu()
        array = (here.float() if here.dtype == torch.bfloat16 else here).numpy()
    try:
        torch.from_numpy(np.empty(1, array.dtype))
    except TypeError as error:
        raise ConfigurationError(
            f"The array {name!r} has dtype {array.dtype}, which is no tensor dtype.",
            where=f"arrays[{name!r}]",
            way_out="turn it into numbers (native byte order) or booleans first",
        ) from error
    if _is_on_disk(array):
        return array.view(np.ndarray)
    return np.ascontiguousarray(array)


def _is_on_disk(array: Any) -> bool:
    while array is not None:
        if isinstance(array, np.memmap | mmap.mmap):
            return True
        array = getattr(array, "base", None)
    return False


def _without_copy(array: np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        # The array is only read: that it is read-only (a memory map, a polars column) does not matter.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    dtype = torch.float32 if tensor.dtype == torch.float64 else tensor.dtype
    return tensor.to(device, dtype, non_blocking=device.type == "cuda")
