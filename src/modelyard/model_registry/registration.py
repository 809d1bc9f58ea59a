"""Registers model versions: each once, and complete when it appears."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from modelyard.files import write_json
from modelyard.paths import data_directory
from modelyard.projects import load_project
from modelyard.tracking import journal

if TYPE_CHECKING:
    import polars as pl
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

DIGEST_TAG = "modelyard.digest"
SCHEMA_TAG = "feature_schema_digest"
DATASET_TAG = "dataset"
"""Of a version that learnt from public data: which."""

DESCRIPTION_LIMIT = 5000
"""Longest description of a version in characters; MLflow does not check it, and PostgreSQL rejects more."""
REFERENCE_FILE, SAMPLE_FILE = "reference.json", "reference_sample.parquet"


class Reference(NamedTuple):
    """The reference data that a version's monitoring compares with.

    Args:
        summary: ``n_rows``, ``columns`` (name, role, kind, bins, counts, clusterings), ``clusters``, ``performance``.
        sample: Some of its rows, for figures only.
    """

    summary: dict[str, Any]
    sample: "pl.DataFrame"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Everything that is stored with a model version.

    Args:
        model: The project's model.
        evaluation: The document that ``evaluate`` returned.
        card: The model card in Markdown; the version's description.
        record: The run record: what is needed to re-run the version, and digests to compare.
        digest: Digest of everything that determines the model; a digest is registered once.
        reference: What the version's monitoring compares with; None: it cannot be monitored.
    """

    model: Any
    evaluation: dict[str, Any]
    card: str
    record: dict[str, Any]
    digest: str
    reference: Reference | None = None


def version_by_digest(store: "MlflowClient", project: str, digest: str) -> "ModelVersion | None":
    """Returns the version of ``project`` whose registration had this digest, or None."""
    versions = store.search_model_versions(f"name = '{project}'")
    return next((version for version in versions if version.tags.get(DIGEST_TAG) == digest), None)


def create_version(store: "MlflowClient", project: str, data: "Registration") -> "ModelVersion":
    """Creates a version together with its tags and description, and returns it.

    MLflow creates the version in one database transaction after its files are stored: a kill before it leaves files
    without a version, a kill after it leaves a complete version that a re-run finds by its digest.
    """
    from mlflow.exceptions import MlflowException

    from modelyard.model_registry import mlflow_model
    from modelyard.model_registry.signing import signed
    from modelyard.tracking.mlflow_store import experiment_id

    try:
        store.create_registered_model(project, description=load_project(project).title)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    run_id = journal.run_id()
    logged = store.create_logged_model(
        experiment_id(store, project), name=project, source_run_id=run_id, model_type=load_project(project).title
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        mlflow_model.save(load_project(project), data.model, folder)
        (folder / "model_card.md").write_text(data.card, encoding="utf-8")
        write_json(folder / "run_record.json", data.record)
        write_json(folder / "evaluation.json", data.evaluation)
        if data.reference is not None:
            write_reference(data.reference, folder)
        digest = mlflow_model.write_checksums(folder)
        tags = _tags(data) | {mlflow_model.FILES_TAG: digest} | signed(project, digest)
        store.log_model_artifacts(logged.model_id, str(folder))
    store.finalize_logged_model(logged.model_id, "READY")
    return store.create_model_version(
        project,
        source=f"models:/{logged.model_id}",
        run_id=run_id,
        model_id=logged.model_id,
        description=_description(data.card, _figures(project, run_id)),
        tags=tags,
    )


def write_reference(reference: Reference, folder: Path) -> None:
    """Writes a reference to a version's folder before registration."""
    write_json(folder / REFERENCE_FILE, reference.summary)
    reference.sample.write_parquet(folder / SAMPLE_FILE)


def _description(card: str, figures: str) -> str:
    """Returns card and figures, cut at a line if too long; the whole card is among the artifacts."""
    whole = card.replace("\n## Data\n", f"{figures}\n## Data\n", 1)
    if len(whole) <= DESCRIPTION_LIMIT:
        return whole
    rest = "\n\n… (the whole card is `model_card.md` among the version's artifacts)\n"
    return whole[: DESCRIPTION_LIMIT - len(rest)].rpartition("\n")[0] + rest


def _figures(project: str, run_id: str | None) -> str:
    """Returns Markdown that shows the run's figures on the version's page; the run uploads the files at its end."""
    names = sorted(path.name for path in (data_directory() / "08_reporting" / project / "figures").glob("*.png"))
    if run_id is None or not names:
        return ""
    address = f"get-artifact?run_uuid={run_id}&path=reports/figures"
    return "\n## Figures\n\n" + "\n\n".join(f"![{name}]({address}/{name})" for name in names) + "\n"


def _tags(data: "Registration") -> dict[str, str]:
    evaluation, record = data.evaluation, data.record
    name = evaluation["primary"]
    metric = evaluation["metrics"][name]
    dataset = record["parameters"]["ingest"].get("dataset") if record["source"] == "public" else None
    tags = {
        DIGEST_TAG: data.digest,
        SCHEMA_TAG: record["feature_schema_digest"],
        "gate": "passed" if evaluation["gate"]["passed"] else "failed",
        "gate_reason": evaluation["gate"]["reason"],
        "source": record["source"],
        **({DATASET_TAG: str(dataset)} if dataset else {}),
        "data_digest": record["data_digest"],
        "commit": record["commit"] + ("-dirty" if record["is_dirty"] else ""),
        name: f"{metric['value']:.4f}",
        f"{name}_interval": f"{metric['low']:.4f} to {metric['high']:.4f}",
        f"{name}_floor": f"{evaluation['floor'][name]:.4f}",
    }
    if evaluation["champion"]:
        tags[f"{name}_champion"] = f"{evaluation['champion'][name]:.4f}"
    gain = evaluation.get("gain")
    if gain:
        tags[f"{name}_gain"] = (
            f"{gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f}) over version {gain['champion_version']}"
        )
    return tags
