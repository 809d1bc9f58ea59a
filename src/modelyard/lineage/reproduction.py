"""Re-runs a registered version from its run record, and compares digests and metrics of the results."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from modelyard.back_ends.environment import without_back_ends
from modelyard.errors import ConfigurationError, ModelyardError
from modelyard.files import sha256_of_directory
from modelyard.lineage.run_context import code_digest, lock_digest
from modelyard.paths import data_directory, repository

_ENVIRONMENT = "reproduce"


class Comparison(NamedTuple):
    """One compared value."""

    what: str
    recorded: str
    reproduced: str

    @property
    def is_equal(self) -> bool:
        """Returns whether both values are identical."""
        return self.recorded == self.reproduced


def fetch_version(project: str, version: str, folder: Path) -> Path:
    """Downloads a registered version.

    Args:
        project: The registered model.
        version: Its version number.
        folder: The folder to write to.

    Returns:
        The MLflow model folder.

    Raises:
        ConfigurationError: The version does not exist.
    """
    from mlflow.exceptions import MlflowException

    from modelyard.tracking.mlflow_store import download_version, shown_uri

    try:
        return download_version(project, version, folder)
    except MlflowException as error:
        raise ConfigurationError(
            f"{project} has no version {version}.", where=shown_uri(), way_out="mlflow ui shows the versions"
        ) from error


def reproduce(project: str, version_folder: Path, work: Path, *, with_this_code: bool) -> list[Comparison]:
    """Runs the lifecycle again from a version's record, in a separate data folder.

    Args:
        project: The project.
        version_folder: The version's MLflow model folder.
        work: An empty folder for the new run's data and tracking.
        with_this_code: Run the current checkout if the recorded code cannot be restored.

    Returns:
        The comparisons of input digests, the weights' digest, and each test metric.

    Raises:
        ConfigurationError: The recorded code cannot be restored.
        ModelyardError: The run failed.
    """
    record = json.loads((version_folder / "run_record.json").read_text())
    with _code(project, record, with_this_code=with_this_code) as checkout:
        _prepare_data(project, work)
        _run(project, record, checkout, work)
    new = json.loads((work / "08_reporting" / project / "run_record.json").read_text())
    names = ("code_digest", "lock_digest", "data_digest", "released_digest", "contract_digest", "feature_schema_digest")
    compared = [Comparison(name.replace("_", " "), record[name], new[name]) for name in names]
    compared.append(Comparison("device", record["device"]["name"], new["device"]["name"]))
    compared.append(Comparison("precision", *(one.get("precision", "not recorded") for one in (record, new))))
    compared.append(
        Comparison("weights", _weights(version_folder / "data"), _weights(work / "06_models" / project / "tuned"))
    )
    return compared + _metrics(version_folder, work / "07_model_output" / project)


@contextmanager
def _code(project: str, record: dict[str, Any], *, with_this_code: bool) -> Iterator[Path]:
    """Yields a checkout with the recorded code: this one if it is the same, else a temporary worktree of the commit."""
    is_same = record["code_digest"] == code_digest(project) and record["lock_digest"] == lock_digest()
    if is_same or with_this_code:
        yield repository()
        return
    if record["is_dirty"]:
        raise ConfigurationError(
            "The version was made from uncommitted code that differs from this checkout; it cannot be restored.",
            where=f"commit {record['commit']}",
            way_out="--with-this-code runs the checkout as it stands and shows what differs",
        )
    with tempfile.TemporaryDirectory() as temporary:
        checkout = Path(temporary) / "checkout"
        add = ["git", "worktree", "add", "--detach", str(checkout), record["commit"]]
        added = subprocess.run(add, cwd=repository(), capture_output=True, text=True, check=False)
        if added.returncode:
            raise ConfigurationError(
                f"Commit {record['commit']} cannot be checked out: {added.stderr.strip()}",
                where=str(repository()),
                way_out="git fetch it, or --with-this-code",
            )
        try:
            yield checkout
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(checkout)], cwd=repository(), check=False)


def _prepare_data(project: str, work: Path) -> None:
    """Links the public data, which are verified by digest, and copies the released rows, which are an input."""
    raw = work / "01_raw"
    raw.mkdir(parents=True)
    for dataset in (data_directory() / "01_raw").glob("*"):
        if dataset.is_dir() and dataset.name != project:
            (raw / dataset.name).symlink_to(dataset)
    released = data_directory() / "02_intermediate" / project / "released_records.parquet"
    if released.exists():
        (work / "02_intermediate" / project).mkdir(parents=True)
        shutil.copy(released, work / "02_intermediate" / project)


def _run(project: str, record: dict[str, Any], checkout: Path, work: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        conf = Path(temporary) / "conf"
        shutil.copytree(checkout / "conf", conf)
        (conf / _ENVIRONMENT).mkdir()
        parameters = yaml.safe_dump({project: record["parameters"]}, sort_keys=False)
        (conf / _ENVIRONMENT / "parameters.yml").write_text(parameters)
        command = [sys.executable, "-m", "kedro", "run", f"--pipeline={project}", f"--env={_ENVIRONMENT}"]
        environment = without_back_ends(os.environ) | {  # a reproduction must not register or publish anything
            "MODELYARD_DATA_DIR": str(work),
            "PYTHONPATH": f"{checkout / 'src'}{os.pathsep}{checkout}",
        }
        ended = subprocess.run([*command, f"--conf-source={conf}"], cwd=checkout, env=environment, check=False)
    if ended.returncode:
        raise ModelyardError(
            f"The run ended with exit status {ended.returncode}.", where=str(work), way_out="see its message above"
        )


def _weights(folder: Path) -> str:
    """Returns the digest of a model's files, without the file that names the project."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "model"
        shutil.copytree(folder / "data" if (folder / "data").is_dir() else folder, copy)
        (copy / "project.json").unlink(missing_ok=True)
        return sha256_of_directory(copy)


def _metrics(version_folder: Path, output: Path) -> list[Comparison]:
    recorded = json.loads((version_folder / "evaluation.json").read_text())["metrics"]
    reproduced = json.loads((output / "evaluation.json").read_text())["metrics"]
    return [
        Comparison(f"test {name}", repr(recorded[name]["value"]), repr(reproduced.get(name, {}).get("value")))
        for name in recorded
    ]
