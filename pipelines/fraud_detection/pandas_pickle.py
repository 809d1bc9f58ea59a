"""Tables that their publisher pickled with pandas 0.14 to 1.2, read without running anything that the file asks for.

A pickle is a program. This reader looks names up in a closed list instead of importing them: NumPy's arrays are real,
pandas' classes are stand-ins that only keep their content, every other name is refused before it is imported. pandas
itself is not needed.

The layout is that of ``BlockManager.__getstate__`` in those versions,
https://github.com/pandas-dev/pandas/blob/v1.2.5/pandas/core/internals/managers.py.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from numpy._core.multiarray import _reconstruct

from modelyard.errors import StorageError

_MALFORMED = (
    *(pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, TypeError, ValueError),
    *(OverflowError, MemoryError),
)


def read_dataframe(path: Path) -> "pl.DataFrame":
    """Reads one pickled pandas data frame; its index is dropped.

    Args:
        path: A file whose columns hold numbers, booleans or times.

    Returns:
        The columns in their order and with their types; times are ``Datetime("ns")`` without a zone, as in the file.

    Raises:
        StorageError: The pickle asks for something that no table needs (nothing of it was run), is damaged, or holds
            something else than such a data frame.
    """
    try:
        with path.open("rb") as file:
            frame = _TableUnpickler(file).load()
        columns = dict(_columns(frame))
        return pl.DataFrame([pl.Series(name, columns[name]) for name in _labels(frame)])
    except _RefusedError as error:
        raise StorageError(
            f"The pickle asks for {error}, which no table needs; it was refused and nothing was run.",
            where=str(path),
            way_out="do not trust this file; `kedro data verify` says whether it is the published one",
        ) from error
    except (*_MALFORMED, pl.exceptions.PolarsError) as error:
        raise StorageError(
            f"The file is damaged or no pickled table of numbers and times ({error or type(error).__name__}).",
            where=str(path),
            way_out="`kedro data verify` says whether it is the published file, `kedro data fetch` repairs it",
        ) from error


class _RefusedError(Exception):
    """A name outside the closed list."""


class _Frame:
    """Stands in for a data frame: ``state`` holds its block manager."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _BlockManager:
    """Stands in for a block manager: the last part of ``state`` holds axes and blocks."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Index:
    """Stands in for an index: ``labels`` are its values."""

    labels: Any = None


def _new_index(_: type, content: dict[str, Any]) -> _Index:
    index = _Index()
    index.labels = content["data"]
    return index


_STAND_INS = {
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals.managers", "BlockManager"): _BlockManager,
    ("pandas.core.indexes.base", "_new_Index"): _new_index,
    ("pandas.core.indexes.base", "Index"): _Index,
    ("pandas.core.indexes.numeric", "Int64Index"): _Index,
    ("builtins", "slice"): slice,
}


class _TableUnpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._known = _STAND_INS | {
            ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return self._known[module_name, global_name]
        except KeyError:
            raise _RefusedError(f"{module_name}.{global_name}") from None


def _manager(frame: Any) -> dict[str, Any]:
    if not isinstance(frame, _Frame):
        raise TypeError(f"it holds a {type(frame).__name__}")
    manager = frame.state["_mgr"] if "_mgr" in frame.state else frame.state["_data"]
    content: dict[str, Any] = manager.state[3]["0.14.1"]
    return content


def _labels(frame: Any) -> list[str]:
    return [str(label) for label in _manager(frame)["axes"][0].labels]


def _columns(frame: Any) -> "Iterator[tuple[str, np.ndarray[Any, Any]]]":
    """Name and values of each column; a block holds the columns of one type, one in each row."""
    labels = np.array(_labels(frame), dtype=object)
    for block in _manager(frame)["blocks"]:
        values = np.atleast_2d(block["values"])
        if values.dtype.kind not in "biufM":
            raise TypeError(f"columns of type {values.dtype}")
        yield from zip(labels[block["mgr_locs"]], values, strict=True)
