"""Summarises validation as a JSON document: row counts, one entry for each rule, and whether the run must stop."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelyard.records import Contract
from modelyard.validation.checks import Check
from modelyard.validation.quarantine import REASONS, ROW_NUMBER, rule_counts

if TYPE_CHECKING:
    import polars as pl

_N_SAMPLES = 3
_N_RULES = 5


def summarise(
    accepted: "pl.DataFrame",
    rejected: "pl.DataFrame",
    checks: Sequence[Check],
    broken: "pl.DataFrame",
    waived: "pl.DataFrame",
    contract: Contract,
    max_rejected_share: float,
) -> dict[str, Any]:
    """Returns the row counts, the result of each rule and the reasons to stop.

    Args:
        accepted: Accepted rows.
        rejected: Rows in quarantine.
        checks: All evaluated rules.
        broken: ``row`` and ``position`` (into ``checks``) of the rules that reject rows.
        waived: The same columns for rules that released rows break.
        contract: Gives the name of the key.
        max_rejected_share: Share of rejected rows, 0 to 1, above which the run stops.

    Returns:
        A JSON document: ``n_ingested``, ``n_accepted``, ``n_rejected``, ``n_released`` (accepted though a rule is
        broken), ``rejected_share``, ``max_rejected_share``, ``checks``, ``stop`` (reasons to stop the run; empty: it
        continues) and ``samples`` (lines of text).
    """
    summary = _counts(accepted.height, rejected.height, max_rejected_share)
    summary["n_released"] = waived.join(broken, on="row", how="anti")["row"].n_unique()
    summary["checks"] = [_check_row(check, at, broken, waived) for at, check in enumerate(checks)]
    stop = [
        f"{row['rule']} (seen: {row['observed']})" for row in summary["checks"] if row["verdict"] == "stops the run"
    ]
    samples = _samples(accepted, rejected.clear(), contract) if stop else []
    if not accepted.height:
        stop = ["no rows are left"]
    if summary["rejected_share"] > max_rejected_share:
        stop.insert(0, _too_many(summary, rejected))
        samples = _samples(accepted, rejected, contract)
    return summary | {"stop": stop, "samples": samples}


def refuse(
    rejected: "pl.DataFrame", reasons: Sequence[str], contract: Contract, max_rejected_share: float
) -> dict[str, Any]:
    """Returns the same document for a table that does not fit the contract as a whole: every row is rejected."""
    checks = [_row(reason, "contract", "stops the run", rejected.height, "") for reason in reasons]
    summary = _counts(0, rejected.height, max_rejected_share)
    summary |= {"n_released": 0, "n_corrected": 0, "n_stale_releases": 0, "releases_digest": None, "checks": checks}
    return summary | {"stop": list(reasons), "samples": _samples(rejected.clear(), rejected, contract)}


def _counts(n_accepted: int, n_rejected: int, max_rejected_share: float) -> dict[str, Any]:
    n_ingested = n_accepted + n_rejected
    return {
        "n_ingested": n_ingested,
        "n_accepted": n_accepted,
        "n_rejected": n_rejected,
        "rejected_share": n_rejected / n_ingested if n_ingested else 0.0,
        "max_rejected_share": max_rejected_share,
    }


def _check_row(check: Check, position: int, broken: "pl.DataFrame", waived: "pl.DataFrame") -> dict[str, Any]:
    n_rejected = int((broken["position"] == position).sum())
    n_waived = int((waived["position"] == position).sum())
    about = "rows" if check.is_row_level else "table"
    observed = f"an error: {check.error}" if check.error else check.observed
    if check.is_warning and not check.is_passed:
        return _row(check.rule, about, "warning", check.n_broken, observed)
    if not check.is_row_level:
        return _row(check.rule, about, "holds" if check.is_passed else "stops the run", check.n_broken, observed)
    observed = f"{n_waived:,} accepted by release" if n_waived else ""
    return _row(check.rule, about, "rejects rows" if n_rejected else "holds", n_rejected, observed)


def _row(rule: str, about: str, verdict: str, n_rows: int, observed: str) -> dict[str, Any]:
    return {"rule": rule, "about": about, "verdict": verdict, "n_rows": n_rows, "observed": observed}


def _too_many(summary: dict[str, Any], rejected: "pl.DataFrame") -> str:
    counts = rule_counts(rejected).head(_N_RULES)
    rules = "; ".join(f"{n_rows:,} × {rule}" for rule, n_rows, _ in counts.iter_rows())
    return (
        f"{summary['n_rejected']:,} of {summary['n_ingested']:,} rows ({summary['rejected_share']:.1%}) are rejected, "
        f"more than the {summary['max_rejected_share']:.1%} allowed: {rules}"
    )


def _samples(accepted: "pl.DataFrame", rejected: "pl.DataFrame", contract: Contract) -> list[str]:
    """Returns a few rows as text: rejected ones with their reasons, else accepted ones with their values."""
    if rejected.height:
        return [
            f"row {row[ROW_NUMBER]} ({contract.key} = {row.get(contract.key)}): {'; '.join(row[REASONS])}"
            for row in rejected.head(_N_SAMPLES).iter_rows(named=True)
        ]
    return [
        "for example " + ", ".join(f"{name} = {value}" for name, value in row.items())
        for row in accepted.head(_N_SAMPLES).iter_rows(named=True)
    ]
