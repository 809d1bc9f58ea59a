"""Register: the run record and the model card, the registered version, and the run's public metrics."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from modelyard.feature_store.schema import schema_digest
from modelyard.lineage.table_digest import table_digest
from modelyard.model_registry.registration import Reference, Registration
from modelyard.parameters import typed
from modelyard.passwords import masked_values
from modelyard.project import Project
from modelyard.stages.model_card import model_card


def make_describe(project: Project) -> Callable[..., Any]:
    """Returns the node function that writes the run record and the model card.

    Its inputs go by name: ``raw_records, media, run_context, validation, tuning, evaluation``, and each group of
    parameters that a node before it has read.
    """

    def describe(
        *,
        raw_records: Any,
        media: Any,
        run_context: Any,
        validation: Any,
        tuning: Any,
        evaluation: Any,
        **groups: Any,
    ) -> Any:
        from modelyard.training.devices import find_device, precision_in_words

        run = groups["run"]
        parameters = {name: masked_values(group.model_dump(mode="json")) for name, group in groups.items()}
        record = run_context | {
            "project": project.name,
            "source": groups["ingest"].source,
            "seed": run.seed,
            "precision": precision_in_words(run.precision, find_device(run.device)),
            "data_digest": table_digest(raw_records.hstack(media.drop(project.contract.key, strict=False))),
            "released_digest": validation["releases_digest"] or "",
            "contract_digest": project.contract.digest(),
            "feature_schema_digest": schema_digest(project.feature_views),
            "parameters": parameters,
        }
        return record, model_card(project, record, validation, tuning, evaluation)

    return typed(describe)


def register(
    model: Any, evaluation: Any, card: Any, record: Any, reference: Any, reference_sample: Any
) -> Registration:
    """Returns what the registry keeps of the run; the ``model_version`` dataset does the registering."""
    decisive = {
        name: record[name]
        for name in (
            "project",
            "data_digest",
            "code_digest",
            "lock_digest",
            "parameters",
            "feature_schema_digest",
            "precision",
        )
    } | {"device": record["device"]["kind"]}
    digest = sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return Registration(
        model=model,
        evaluation=evaluation,
        card=card,
        record=record,
        digest=digest,
        reference=Reference(reference, reference_sample),
    )


def report(evaluation: Any, record: Any, model_version: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns ``metrics.json``, which other tools may rely on, and ``primary_metric.json``, what DVC shows of it."""
    primary, champion = evaluation["primary"], evaluation["champion"]
    metrics = {
        "project": record["project"],
        "source": record["source"],
        "data_digest": record["data_digest"],
        "code": record["commit"] + ("-dirty" if record["is_dirty"] else ""),
        "n_test": evaluation["n_test"],
        "shown": evaluation["shown"],
        "metrics": evaluation["metrics"],
        "floor": evaluation["floor"],
        "champion": champion,
        "gate": evaluation["gate"],
        "model_version": model_version["version"],
    }
    line = {
        "primary": primary,
        "value": evaluation["metrics"][primary]["value"],
        "floor": evaluation["floor"][primary],
        "champion": champion[primary] if champion else None,
        "n_test": evaluation["n_test"],
    }
    return metrics, line
