"""Register: the run record and the model card, the registered version, and the run's public metrics."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from modelyard.digest import table_digest
from modelyard.feature_store.schema import schema_digest
from modelyard.parameters import typed
from modelyard.project import Project
from modelyard.stages.model_card import model_card

PARAMETER_GROUPS = ("ingest", "validate", "features", "split", "run", "fit", "tune", "score", "evaluate", "gate")
"""The groups under a project's name in ``parameters.yml``; each is one function's parameter model."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Everything that a model version keeps.

    Args:
        model: The project's model.
        evaluation: What ``evaluate`` returned.
        card: The model card, Markdown; the version's description.
        record: The run record: what to re-run, and the digests to compare.
        digest: Of everything that decides the model; the same digest is registered once.
    """

    model: Any
    evaluation: dict[str, Any]
    card: str
    record: dict[str, Any]
    digest: str


def make_describe(project: Project, parameter_types: dict[str, Any]) -> Callable[..., Any]:
    """Node function ``(raw_records, run_context, validation, tuning, evaluation, *params) -> (record, card)``."""

    def describe(
        raw_records: Any,
        run_context: Any,
        validation: Any,
        tuning: Any,
        evaluation: Any,
        ingest: Any,
        validate: Any,
        features: Any,
        split: Any,
        run: Any,
        fit: Any,
        tune: Any,
        score: Any,
        evaluate: Any,
        gate: Any,
    ) -> Any:
        groups = (ingest, validate, features, split, run, fit, tune, score, evaluate, gate)
        parameters = dict(zip(PARAMETER_GROUPS, (group.model_dump(mode="json") for group in groups), strict=True))
        record = run_context | {
            "project": project.name,
            "source": ingest.source,
            "seed": run.seed,
            "data_digest": table_digest(raw_records),
            "contract_digest": project.contract.digest(),
            "feature_schema_digest": schema_digest(project.feature_views),
            "parameters": parameters,
        }
        return record, model_card(project, record, validation, tuning, evaluation)

    return typed(describe, **parameter_types)


def register(model: Any, evaluation: Any, card: Any, record: Any) -> Registration:
    """What the registry is asked to keep; the ``model_version`` dataset does the registering."""
    decisive = {
        name: record[name]
        for name in ("project", "data_digest", "code_digest", "lock_digest", "parameters", "feature_schema_digest")
    } | {"device": record["device"]["kind"]}
    digest = sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return Registration(model=model, evaluation=evaluation, card=card, record=record, digest=digest)


def report(evaluation: Any, record: Any, model_version: Any) -> dict[str, Any]:
    """``metrics.json``: what other tools may rely on (documented in docs/interfaces.md)."""
    return {
        "project": record["project"],
        "source": record["source"],
        "data_digest": record["data_digest"],
        "code": record["commit"] + ("-dirty" if record["is_dirty"] else ""),
        "n_test": evaluation["n_test"],
        "metrics": evaluation["metrics"],
        "floor": evaluation["floor"],
        "champion": evaluation["champion"],
        "gate": evaluation["gate"],
        "model_version": model_version["version"],
    }
