"""The model card: one page of Markdown that a reviewer reads before promoting a version."""

import math
from typing import Any

from modelyard.project import Project


def model_card(
    project: Project,
    record: dict[str, Any],
    validation: dict[str, Any],
    tuning: dict[str, Any],
    evaluation: dict[str, Any],
) -> str:
    """Writes the card.

    Args:
        project: The project's record.
        record: The run record.
        validation: Summary of the validate stage (row counts).
        tuning: Summary of the tune stage (trials, best).
        evaluation: Output of the evaluate stage.

    Returns:
        Markdown; the same inputs give the same text.
    """
    gate = evaluation["gate"]
    sections = [
        f"# {project.title}",
        f"**Gate {'passed' if gate['passed'] else 'FAILED'}**: {gate['reason']}.",
        "## Test metrics",
        f"{evaluation['n_test']:,} test rows that training and tuning never saw; 95 % bootstrap intervals"
        + (f" over whole groups of `{project.contract.group}`." if project.contract.group else "."),
        _metrics_table(evaluation),
        *(["## Slices", _slices_table(evaluation)] if evaluation["slices"] else []),
        "## Data",
        _data_section(record, validation, evaluation),
        "## Training",
        _training_section(record, tuning),
        *(["## Features", _features_table(project)] if project.feature_views else []),
        "## Lineage",
        _lineage_section(record),
    ]
    return "\n\n".join(sections) + "\n"


def _metrics_table(evaluation: dict[str, Any]) -> str:
    champion = evaluation["champion"]
    lines = ["| metric | value | interval | floor | champion |", "|---|---|---|---|---|"]
    for name in evaluation["shown"]:
        metric = evaluation["metrics"][name]
        label = f"**{name}**" if name == evaluation["primary"] else name
        against = _number(champion[name]) if champion else "none yet"
        lines.append(
            f"| {label} | {_number(metric['value'])} | {_interval(metric)}"
            f" | {_number(evaluation['floor'][name])} | {against} |"
        )
    n_more = len(evaluation["metrics"]) - len(evaluation["shown"])
    return "\n".join(lines) + (f"\n\n{n_more} more metrics stand in `evaluation.json`." if n_more else "")


def _interval(metric: dict[str, float]) -> str:
    low, high = _number(metric["low"]), _number(metric["high"])
    return "–" if low == high == "–" else f"{low} to {high}"


def _slices_table(evaluation: dict[str, Any]) -> str:
    primary = evaluation["primary"]
    lines = [f"| slice | rows | {primary} |", "|---|---|---|"]
    for part in evaluation["slices"]:
        value = _number(part["metrics"][primary])
        lines.append(f"| {part['column']} = {part['value']} | {part['n_rows']:,} | {value} |")
    return "\n".join(lines)


def _data_section(record: dict[str, Any], validation: dict[str, Any], evaluation: dict[str, Any]) -> str:
    splits = ", ".join(f"{name} {count:,}" for name, count in evaluation["splits"].items())
    return (
        f"Source `{record['source']}`; {validation['n_ingested']:,} rows ingested, "
        f"{validation['n_accepted']:,} accepted, {validation['n_rejected']:,} rejected. Splits: {splits}."
    )


def _training_section(record: dict[str, Any], tuning: dict[str, Any]) -> str:
    return (
        f"Seed {record['seed']}; {len(tuning['trials'])} tuning trials, best trial {tuning['best_trial']}. "
        f"Device: {record['device']['name']}; precision of networks: {record['precision']}."
    )


def _features_table(project: Project) -> str:
    lines = ["| feature | unit | meaning |", "|---|---|---|"]
    lines += [
        f"| `{feature.name}` | {feature.unit} | {feature.description} |"
        for view in project.feature_views
        for feature in view.features
    ]
    return "\n".join(lines)


def _lineage_section(record: dict[str, Any]) -> str:
    dirty = " with uncommitted changes" if record["is_dirty"] else ""
    names = ("data_digest", "contract_digest", "feature_schema_digest", "code_digest", "lock_digest")
    digests = "\n".join(f"- {name.replace('_', ' ')}: `{record[name]}`" for name in names)
    return f"- commit: `{record['commit']}`{dirty}\n{digests}"


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"
