"""Columns of a user's table beyond the contract, named by a parameter, that become inputs of the model."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from modelyard.feature_store.schema import FeatureView, feature_names
from modelyard.own_data.format import TableSourceParameters
from modelyard.parameters import Parameters
from modelyard.records import Column, Contract, Dtype

_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_DTYPES: dict[str, Dtype] = {"string": "string", "float": "float64", "integer": "int64"}


class FurtherColumn(Parameters):
    """One further column."""

    dtype: Literal["string", "float", "integer"] = Field(
        "float", description="What it holds: categories (string) or numbers."
    )
    unit: str = Field("", description="Unit of numbers, for people; empty where there is none.")


class FurtherSourceParameters(TableSourceParameters):
    """Where records come from, for projects whose models take further columns of own data."""

    further_columns: Mapping[str, FurtherColumn] = Field(
        {},
        description="Own data: columns beyond the contract that become inputs of the model.",
    )

    @field_validator("further_columns")
    @classmethod
    def _are_names(cls, columns: Mapping[str, FurtherColumn]) -> Mapping[str, FurtherColumn]:
        for name in columns:
            if not _SNAKE_CASE.fullmatch(name):
                raise ValueError(f"'{name}' is not snake_case; give it such a name, and map it with ingest.columns")
        return columns

    @model_validator(mode="after")
    def _are_of_own_data(self) -> "FurtherSourceParameters":
        if self.further_columns and self.source != "own":
            raise ValueError(f"further_columns are those of own data; the source is '{self.source}'")
        return self


def with_further_columns(contract: Contract, params: Any) -> Contract:
    """Returns the contract with the further columns that ingest parameters name; they may be missing in any row.

    Args:
        contract: The project's.
        params: Ingest parameters of any project; those without ``further_columns`` change nothing.

    Raises:
        ValueError: The contract has a column of that name.
    """
    found: Mapping[str, FurtherColumn] = getattr(params, "further_columns", {})
    taken = sorted({column.name for column in contract.columns} & set(found))
    if taken:
        raise ValueError(f"further_columns: the contract has {', '.join(taken)} already; choose another name")
    further = tuple(
        Column(
            name=name,
            dtype=_DTYPES[column.dtype],
            description="A further column of the own data.",
            unit=column.unit,
            nullable=True,
        )
        for name, column in found.items()
    )
    return replace(contract, columns=(*contract.columns, *further))


def further_names(columns: Sequence[str], contract: Contract, views: Sequence[FeatureView]) -> list[str]:
    """Returns those of ``columns`` that are neither the contract's, nor features, nor media, nor the split."""
    known = {column.name for column in contract.columns} | {media.name for media in contract.media}
    return [name for name in columns if name not in {*known, *feature_names(views), "split"}]
