"""Reads the files of a registered version that monitoring needs: reference, sample, parameters and model."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import ConfigurationError
from modelyard.model_registry.registration import REFERENCE_FILE, SAMPLE_FILE

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True)
class WatchedVersion:
    """The downloaded files of a registered version.

    Args:
        project: The project's name.
        version: Version number in the registry.
        folder: The MLflow model folder.
        files_digest: What the registry says of its files; empty for versions that were registered without it.
    """

    project: str
    version: str
    folder: Path
    files_digest: str = ""

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Returns the reference's summary.

        Raises:
            ConfigurationError: The version has no reference.
        """
        path = self.folder / REFERENCE_FILE
        if not path.exists():
            raise ConfigurationError(
                "The version carries no reference: it was registered before references were made.",
                where=f"{self.project} version {self.version}",
                way_out=f"kedro run --pipeline={self.project} registers a version that has one; promote it",
            )
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        # JSON holds NaN as null.
        for column in found["columns"]:
            column["mean"] = float("nan") if column["mean"] is None else column["mean"]
        return found

    @property
    def sample(self) -> "pl.DataFrame":
        """Returns some rows of the reference."""
        import polars as pl

        return pl.read_parquet(self.folder / SAMPLE_FILE)

    def parameters(self, group: str) -> dict[str, Any]:
        """Returns a group of the parameters with which the version was made."""
        record = json.loads((self.folder / "run_record.json").read_text(encoding="utf-8"))
        values: dict[str, Any] = record.get("parameters", {}).get(group, {})
        return values

    def model(self) -> Any:
        """Returns the project's model."""
        from modelyard.model_registry.mlflow_model import load

        return load(self.folder, self.files_digest)


@contextmanager
def watched_version(project: str, version: str | None) -> Iterator[WatchedVersion]:
    """Yields a version, with its files downloaded for the duration of the block.

    Args:
        project: The project's name.
        version: Version number; None for the champion.

    Raises:
        ConfigurationError: The version does not exist, or there is no champion.
    """
    from mlflow.exceptions import MlflowException

    from modelyard.model_registry.versions import CHAMPION, version_by_alias, version_files
    from modelyard.tracking.mlflow_store import client, readable_failures, shown_uri

    with tempfile.TemporaryDirectory(prefix="monitor-") as temporary, readable_failures():
        if version is None:
            champion = version_by_alias(client(), project, CHAMPION)
            if champion is None:
                raise ConfigurationError(
                    f"{project} has no champion, so nothing serves that could be watched.",
                    where=shown_uri(),
                    way_out=f"give a version the alias '{CHAMPION}' in MLflow, or name one: --version N",
                )
            version = champion.version
        try:
            folder, digest = version_files(project, version, Path(temporary))
        except MlflowException as error:
            raise ConfigurationError(
                f"{project} has no version {version}.", where=shown_uri(), way_out="mlflow ui shows the versions"
            ) from error
        yield WatchedVersion(project=project, version=str(version), folder=folder, files_digest=digest)
