"""Batches straight from arrays: no loader, no worker processes, buffers that are used again.

Measured on two CPU cores (``numpy.take`` into a kept buffer / ``tensor[rows]``): 256 rows of 32 numbers 2 / 12 us,
128 images of 3 x 32 x 32 49 / 600 us. Three ways, chosen by :class:`Batches` itself:

- on a CUDA device with room (a quarter of its free memory), the arrays move there once and rows are picked there;
- arrays on disk, and arrays too large for the CUDA device, are read by one background thread, a batch ahead;
- everything else is copied into one buffer just before it is used.

Rows inside a batch are in ascending order: reads from disk go forward only, and nothing that is learnt depends on
the order inside a batch. Rows of different lengths are padded to the longest of their batch
(:mod:`modelyard.training.ragged`).
"""

import mmap
import warnings
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.training.ragged import LENGTH_SUFFIX, Ragged

Array: TypeAlias = np.ndarray | Tensor | Ragged | Sequence[np.ndarray]
Batch: TypeAlias = dict[str, Tensor]

_RESIDENT_SHARE = 0.25
_SLOTS = 2


class Batches:
    """Rows of several arrays of one length, as tensors on a device.

    Args:
        arrays: Name to array of shape (N, ...): numpy arrays, memory maps or tensors, of numbers or booleans; or to
            rows of different lengths, a :class:`modelyard.training.ragged.Ragged` or a list of arrays of shape
            (L_i, ...). float64 arrives in the batch as float32, everything else as it is.
        device: Where the batches are needed.
        batch_size: Rows of a full batch; one more must fit, see :func:`modelyard.training.order.blocks_of`.

    Raises:
        DataContractError: There are no rows.
        ConfigurationError: No arrays, arrays of different lengths, or of things that are not numbers.
    """

    def __init__(self, arrays: Mapping[str, Array], device: torch.device, batch_size: int) -> None:
        self.n_rows = _common_length(arrays)
        self.device = device
        self.host: dict[str, np.ndarray] = {}
        self.ragged: dict[str, Ragged] = {}
        for name, array in arrays.items():
            if isinstance(array, np.ndarray | Tensor):
                self.host[name] = _as_rows(name, array)
            else:
                rows = array if isinstance(array, Ragged) else Ragged.of_rows(array)
                self.ragged[name] = Ragged(_as_rows(name, rows.values), rows.offsets.astype(np.int64))
        self._resident = self._moved_to_device() if self._has_room_on_device() else None
        self._reads_ahead = device.type == "cuda" or any(_is_on_disk(array) for array in self.flat().values())
        n_slots = 0 if self._resident is not None else _SLOTS if self._reads_ahead else 1
        rows_of_slot = min(batch_size + 1, self.n_rows)
        self._slots = [_Slot(self.host, self.ragged, rows_of_slot, device) for _ in range(n_slots)]

    @property
    def lengths(self) -> np.ndarray | None:
        """Values of each row over all ragged arrays, (N,); None without any."""
        if not self.ragged:
            return None
        return cast(np.ndarray, sum(ragged.lengths for ragged in self.ragged.values()))

    def flat(self) -> dict[str, np.ndarray]:
        """Every array as it lies in memory, the ragged ones as their values and offsets."""
        flat = dict(self.host)
        for name, ragged in self.ragged.items():
            flat |= {name: ragged.values, f"{name} offsets": ragged.offsets}
        return flat

    def walk(self, blocks: Sequence[np.ndarray]) -> Generator[Batch, None, None]:
        """Yields the batch of each block of row numbers; its tensors are valid until the next one is asked for."""
        if self._resident is not None:
            # All row numbers go over at once: a small copy before each batch would make the host wait for the device.
            everything = torch.from_numpy(np.concatenate(blocks)).to(self.device)
            for index, rows in zip(torch.split(everything, [len(rows) for rows in blocks]), blocks, strict=True):
                yield self._picked(index, rows)
        elif self._reads_ahead:
            yield from self._walk_ahead(blocks)
        else:
            for rows in blocks:
                self._slots[0].fill(rows)
                yield self._slots[0].on_device()

    def _walk_ahead(self, blocks: Sequence[np.ndarray]) -> Generator[Batch, None, None]:
        with ThreadPoolExecutor(max_workers=1) as reader:
            pending = [reader.submit(self._slots[0].fill, rows) for rows in blocks[:1]]
            for number in range(len(blocks)):
                pending.pop().result()
                following = self._slots[(number + 1) % _SLOTS]
                pending += [reader.submit(following.fill, rows) for rows in blocks[number + 1 : number + 2]]
                yield self._slots[number % _SLOTS].on_device()

    def _has_room_on_device(self) -> bool:
        if self.device.type != "cuda":
            return False
        free_bytes, _ = torch.cuda.mem_get_info(self.device)
        return sum(array.nbytes for array in self.flat().values()) <= _RESIDENT_SHARE * free_bytes

    def _moved_to_device(self) -> Batch:
        return {name: _to_device(_without_copy(array), self.device) for name, array in self.flat().items()}

    def _picked(self, index: Tensor, rows: np.ndarray) -> Batch:
        """The batch from arrays on the device; ``index`` are the ``rows`` there."""
        resident = cast(Batch, self._resident)
        batch = {name: resident[name].index_select(0, index) for name in self.host}
        for name, ragged in self.ragged.items():
            values, offsets = resident[name], resident[f"{name} offsets"]
            starts, lengths = offsets[index], offsets[index + 1] - offsets[index]
            places = torch.arange(ragged.width(rows), device=self.device)  # known here, so that nobody waits for it
            taken = values[(starts[:, None] + places).clamp(max=max(0, len(values) - 1))] if len(values) else values
            is_padding = places >= lengths[:, None]
            batch[name] = taken.masked_fill(is_padding.reshape(*is_padding.shape, *[1] * (taken.ndim - 2)), 0)
            batch[name + LENGTH_SUFFIX] = lengths
        return batch


class _Slot:
    """Buffers for one batch; on CUDA page-locked, and not refilled before they have been copied."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], ragged: Mapping[str, Ragged], most_rows: int, device: torch.device
    ) -> None:
        self._arrays, self._ragged, self._device = arrays, ragged, device
        self._copied: torch.cuda.Event | None = None
        self._buffers = {name: self._buffer(array, most_rows) for name, array in arrays.items()}
        self._padded = {name: self._buffer(one.values, 0) for name, one in ragged.items()}
        self._written = {name: buffer.numpy() for name, buffer in self._buffers.items()}
        self._filled: Batch = {}

    def fill(self, rows: np.ndarray) -> None:
        if self._copied is not None:
            self._copied.synchronize()
        n_rows = len(rows)
        for name, array in self._arrays.items():
            target = self._written[name][:n_rows]
            if array.flags.c_contiguous:
                np.take(array, rows, axis=0, out=target, mode="clip")
            else:  # a strided view of a memory map, which take() would copy whole
                np.copyto(target, array[rows])
        self._filled = {name: buffer[:n_rows] for name, buffer in self._buffers.items()}
        for name, ragged in self._ragged.items():
            width = ragged.width(rows)
            if len(self._padded[name]) < n_rows * width:
                self._padded[name] = self._buffer(ragged.values, n_rows * width)
            buffer = self._padded[name][: n_rows * width].reshape(n_rows, width, *ragged.values.shape[1:])
            lengths = ragged.pad(rows, buffer.numpy())
            self._filled |= {name: buffer, name + LENGTH_SUFFIX: torch.from_numpy(lengths)}

    def on_device(self) -> Batch:
        batch = {name: _to_device(filled, self._device) for name, filled in self._filled.items()}
        if self._device.type == "cuda":
            self._copied = torch.cuda.current_stream(self._device).record_event()
        return batch

    def _buffer(self, array: np.ndarray, most_rows: int) -> Tensor:
        # Torch's memory, not numpy's: it lies at 64-byte boundaries, which vectorised kernels read faster.
        buffer = torch.from_numpy(np.empty(0, array.dtype)).new_empty((most_rows, *array.shape[1:]))
        return buffer.pin_memory() if self._device.type == "cuda" else buffer


def not_finite(batches: Batches, rows: np.ndarray) -> dict[str, int]:
    """Name of each array that holds NaN or infinity in ``rows``, with the first such row."""
    found = {}
    for row in rows:
        values = {name: array[row] for name, array in batches.host.items()}
        values |= {name: ragged.row(row) for name, ragged in batches.ragged.items()}
        for name, one in values.items():
            if name not in found and one.dtype.kind in "fc" and not np.isfinite(one).all():
                found[name] = int(row)
    return found


def _common_length(arrays: Mapping[str, Array]) -> int:
    if not arrays or any(getattr(array, "ndim", 1) == 0 for array in arrays.values()):
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


def _as_rows(name: str, array: np.ndarray | Tensor) -> np.ndarray:
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
