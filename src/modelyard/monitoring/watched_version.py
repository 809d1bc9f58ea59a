"""What a registered version carries for its monitoring: the reference, its sample, and how it was scored."""

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
    """A registered version's files while they are here.

    Args:
        project: Its name.
        version: Number in the registry.
        folder: The MLflow model folder.
    """

    project: str
    version: str
    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The reference's summary.

        Raises:
            ConfigurationError: The version carries none.
        """
        path = self.folder / REFERENCE_FILE
        if not path.exists():
            raise ConfigurationError(
                "The version carries no reference: it was registered before references were made.",
                where=f"{self.project} version {self.version}",
                way_out=f"kedro run --pipeline={self.project} registers a version that has one; promote it",
            )
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        # NaN goes through JSON as null.
        for column in found["columns"]:
            column["mean"] = float("nan") if column["mean"] is None else column["mean"]
        return found

    @property
    def sample(self) -> "pl.DataFrame":
        """Some rows of the reference."""
        import polars as pl

        return pl.read_parquet(self.folder / SAMPLE_FILE)

    def parameters(self, group: str) -> dict[str, Any]:
        """A group of the parameters that the version was made with."""
        record = json.loads((self.folder / "run_record.json").read_text(encoding="utf-8"))
        values: dict[str, Any] = record.get("parameters", {}).get(group, {})
        return values

    def model(self) -> Any:
        """The project's model."""
        from modelyard.model_registry.mlflow_model import load

        return load(self.folder)


@contextmanager
def watched_version(project: str, version: str | None) -> Iterator[WatchedVersion]:
    """Brings a version here for as long as the block lasts.

    Args:
        project: Its name.
        version: Its number; None for the champion.

    Raises:
        ConfigurationError: There is no such version, or no champion.
    """
    from mlflow.exceptions import MlflowException

    from modelyard.model_registry.versions import CHAMPION, version_by_alias
    from modelyard.tracking.mlflow_store import client, download_version, readable_failures, shown_uri

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
            folder = download_version(project, version, Path(temporary))
        except MlflowException as error:
            raise ConfigurationError(
                f"{project} has no version {version}.", where=shown_uri(), way_out="mlflow ui shows the versions"
            ) from error
        yield WatchedVersion(project=project, version=str(version), folder=folder)
