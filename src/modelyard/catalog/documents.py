"""Kedro datasets for small documents: JSON, text, figures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from modelyard.files import atomic_directory, write_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class JsonDocument(AbstractDataset[Any, Any]):
    """A JSON file with sorted keys, so that equal content is equal bytes; NaN is written as null."""

    def __init__(self, *, filepath: str) -> None:
        self._path = Path(filepath)

    def load(self) -> Any:
        """Returns the parsed content."""
        return json.loads(self._path.read_text(encoding="utf-8"))

    def save(self, data: Any) -> None:
        """Writes the content."""
        write_json(self._path, data)

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


class TextDocument(AbstractDataset[str, str]):
    """A UTF-8 text file (Markdown, HTML)."""

    def __init__(self, *, filepath: str) -> None:
        self._path = Path(filepath)

    def load(self) -> str:
        """Returns the text."""
        return self._path.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        """Writes the text."""
        write_text(self._path, data)

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


class FigureFolder(AbstractDataset["Mapping[str, Figure]", list[Path]]):
    """matplotlib figures as PNG files in one folder; loads as the list of files.

    Args:
        filepath: The folder; it holds exactly the figures of the last run.
        dpi: Resolution; 120 is sharp in a README at full width.
    """

    def __init__(self, *, filepath: str, dpi: int = 120) -> None:
        self._path = Path(filepath)
        self._dpi = dpi

    def load(self) -> list[Path]:
        """Returns the PNG files, sorted by name."""
        return sorted(self._path.glob("*.png"))

    def save(self, data: "Mapping[str, Figure]") -> None:
        """Writes every figure without a creation time, so that equal figures give equal bytes."""
        with atomic_directory(self._path) as temporary:
            for stem, figure in data.items():
                figure.savefig(temporary / f"{stem}.png", dpi=self._dpi, metadata={"Software": None})

    def _exists(self) -> bool:
        return self._path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
