"""Kedro datasets for tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from modelyard.errors import StorageError
from modelyard.files import atomic_file

if TYPE_CHECKING:
    import polars as pl


class ArrowTable(AbstractDataset["pl.DataFrame", "pl.DataFrame"]):
    """A polars frame in one uncompressed Arrow file, memory-mapped on load; for media, which may be large.

    Args:
        filepath: The file.
    """

    def __init__(self, *, filepath: str) -> None:
        self._path = Path(filepath)

    def load(self) -> "pl.DataFrame":
        """Returns the frame, memory-mapped.

        Raises:
            StorageError: The file is missing or damaged.
        """
        import pyarrow as pa

        from modelyard.arrow_mmap import read_arrow

        try:
            return read_arrow(self._path)
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(
                f"The stored media cannot be read: {error}",
                where=str(self._path),
                way_out="run the whole pipeline, without --from-nodes",
            ) from error

    def save(self, data: "pl.DataFrame") -> None:
        """Writes the frame."""
        from modelyard.arrow_mmap import write_arrow

        write_arrow(data, self._path)

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


class ParquetTable(AbstractDataset["pl.DataFrame", "pl.DataFrame | None"]):
    """A polars frame in one Parquet file that appears whole or not at all.

    Args:
        filepath: The file.
        optional: A missing file loads as None instead of failing (rows that a person may have released).
    """

    def __init__(self, *, filepath: str, optional: bool = False) -> None:
        self._path = Path(filepath)
        self._optional = optional

    def load(self) -> "pl.DataFrame | None":
        """Returns the frame.

        Raises:
            StorageError: The file is missing, damaged or not a Parquet file.
        """
        import polars as pl

        if not self._path.exists():
            if self._optional:
                return None
            raise StorageError(
                "A table of an earlier stage is missing.",
                where=str(self._path),
                way_out="run the whole pipeline, without --from-nodes",
            )
        try:
            return pl.read_parquet(self._path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise StorageError(
                f"The stored table cannot be read: {error}",
                where=str(self._path),
                way_out="delete the file and run the whole pipeline again",
            ) from error

    def save(self, data: "pl.DataFrame") -> None:
        """Writes the frame."""
        with atomic_file(self._path) as temporary:
            data.write_parquet(temporary)

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
