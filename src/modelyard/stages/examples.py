"""Featurize: records and features become examples, each row knowing only what was known at its time."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.feature_store.schema import feature_names
from modelyard.parameters import NoParameters, Parameters, parameters_of, typed
from modelyard.project import Project
from modelyard.records import SPLITS, Contract

if TYPE_CHECKING:
    import polars as pl


class SplitParameters(Parameters):
    """The time-ordered split of records that bring no official one."""

    valid_share: float = Field(0.15, gt=0, lt=1, description="Share of the rows, by time, for validation.")
    test_share: float = Field(0.15, gt=0, lt=1, description="Share of the rows, by time, for the test: the latest.")


def make_derive(project: Project) -> Callable[..., Any]:
    """Node function ``(records, params) -> {view: frame}``."""
    derive = project.derive_features
    if derive is None:
        return typed(lambda records, params: {}, params=NoParameters)

    def derive_features(records: Any, params: Any) -> Any:
        return derive(records, params)

    return typed(derive_features, params=parameters_of(derive))


def make_assemble(project: Project) -> Callable[..., Any]:
    """Node function ``(records, features, params) -> examples``: point-in-time join, then the split."""

    def assemble_examples(records: Any, features: Any, params: Any) -> Any:
        if not project.feature_views:
            return with_split(records, project.contract, params)
        entities = records.select(
            *dict.fromkeys(view.entity for view in project.feature_views), project.contract.event_time
        ).rename({project.contract.event_time: "event_time"})
        taken = sorted(set(records.columns) & set(feature_names(project.feature_views)))
        if taken:
            raise DataContractError(
                f"The records have columns with names of features: {', '.join(taken)}.",
                where=f"{project.name}.ingest.further_columns",
                way_out="give them other names, and map them with ingest.columns",
            )
        joined = features.historical(entities)
        return with_split(records.hstack(joined.select(feature_names(project.feature_views))), project.contract, params)

    return typed(assemble_examples, params=SplitParameters)


def with_split(examples: "pl.DataFrame", contract: Contract, params: SplitParameters) -> "pl.DataFrame":
    """Keeps an official ``split`` column, or splits by time: the oldest rows train, the latest test.

    Args:
        examples: One row per example.
        contract: Names the time column.
        params: Shares of the time-ordered split.

    Raises:
        DataContractError: The official split has unknown values, or a split is empty.
    """
    import polars as pl

    if "split" not in examples.columns or examples["split"].null_count() == examples.height:
        order = pl.col(contract.event_time).rank("ordinal")
        n_test = round(params.test_share * examples.height)
        n_valid = round(params.valid_share * examples.height)
        examples = examples.with_columns(
            pl.when(order > examples.height - n_test)
            .then(pl.lit("test"))
            .when(order > examples.height - n_test - n_valid)
            .then(pl.lit("valid"))
            .otherwise(pl.lit("train"))
            .alias("split")
        )
    counts = dict(examples["split"].value_counts().iter_rows())
    unknown, empty = sorted(map(str, set(counts) - set(SPLITS))), [s for s in SPLITS[:3] if not counts.get(s)]
    if unknown or empty:
        raise DataContractError(
            f"The split has {'unknown values ' + ', '.join(unknown) if unknown else 'no ' + ' and no '.join(empty)}"
            f" rows (counts: {counts}).",
            where=f"column 'split', values {', '.join(SPLITS)}",
            way_out="bring more data or another time span, or change the split's parameters",
        )
    return examples
