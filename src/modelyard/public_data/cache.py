"""The local copy of a public data set, and whether its bytes are the published ones."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelyard.errors import StorageError
from modelyard.files import sha256_of_file, write_text
from modelyard.paths import data_directory
from modelyard.public_data.catalogue import PublicDataset, PublishedFile

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cache:
    """One data set's folder ``data/01_raw/<name>``, and a hidden state folder beside it.

    Args:
        dataset: The catalogue's entry.
        root: The folder of all raw data.
    """

    dataset: PublicDataset
    root: Path

    @classmethod
    def of(cls, dataset: PublicDataset) -> "Cache":
        """Returns the data set's cache in the data folder."""
        return cls(dataset, data_directory() / "01_raw")

    @property
    def folder(self) -> Path:
        """The folder that holds the verified files and nothing else."""
        return self.root / self.dataset.name

    @property
    def notes(self) -> Path:
        """The folder that holds the lock, unfinished downloads, and the record of verified files."""
        return self.root / ".fetch" / self.dataset.name

    def is_verified(self) -> bool:
        """Returns whether each file's size and modification time are those at the time of verification."""
        try:
            noted = json.loads(self._manifest.read_text(encoding="utf-8"))
            return noted == self._state() and not self.foreign_files()
        except (OSError, ValueError):
            return False

    def remember(self) -> None:
        """Records the current files as verified; on a read-only disk they are verified again next time."""
        try:
            write_text(self._manifest, json.dumps(self._state()))
        except StorageError as error:
            logger.debug("%s: not noted as verified: %s", self.dataset.name, error.found)

    def forget(self) -> None:
        """Deletes the record, so that the next fetch reads all bytes again."""
        self._manifest.unlink(missing_ok=True)

    def problems(self) -> dict[str, str]:
        """Reads all bytes and returns path to problem; empty if all files are the published ones."""
        checked = ((file.path, self._problem(file)) for file in self.dataset.all_files())
        return {path: problem for path, problem in checked if problem}

    def foreign_files(self) -> list[str]:
        """Returns files that do not belong to the data set, except hidden ones, which desktops create everywhere."""
        known = {file.path for file in self.dataset.all_files()}
        return sorted(path for path in self._present() if path not in known)

    @property
    def _manifest(self) -> Path:
        return self.notes / "verified.json"

    def _state(self) -> dict[str, list[str | int]]:
        state: dict[str, list[str | int]] = {}
        for file in self.dataset.all_files():
            status = (self.folder / file.path).stat()
            state[file.path] = [file.sha256, status.st_size, status.st_mtime_ns]
        return state

    def _problem(self, file: PublishedFile) -> str:
        path = self.folder / file.path
        if not path.is_file():
            return "missing"
        size = path.stat().st_size
        if size != file.bytes:
            return f"{size} bytes, not {file.bytes}"
        try:
            found = sha256_of_file(path)
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        return "" if found == file.sha256 else f"changed: sha256 is {found[:12]}…, not {file.sha256[:12]}…"

    def _present(self) -> Iterator[str]:
        for path in self.folder.rglob("*"):
            relative = path.relative_to(self.folder)
            if path.is_file() and not any(part.startswith(".") for part in relative.parts):
                yield relative.as_posix()
