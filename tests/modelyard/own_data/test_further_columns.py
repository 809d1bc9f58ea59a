"""Columns beyond the contract: named by a parameter, read, checked, and told from what is known."""

import pytest
from pydantic import ValidationError

from modelyard.feature_store.schema import Feature, FeatureView
from modelyard.own_data.further_columns import FurtherSourceParameters, further_names, with_further_columns
from modelyard.own_data.table import read_own_source
from modelyard.parameters import NoParameters
from modelyard.records import Column, Contract
from modelyard.stages.validate import conform

CONTRACT = Contract(
    key="id",
    event_time="event_time",
    columns=(
        Column(name="id", dtype="string", description="-"),
        Column(name="event_time", dtype="datetime", description="-"),
    ),
)
FURTHER = {"shop": {"dtype": "string"}, "distance_km": {"dtype": "float", "unit": "km"}, "items": {"dtype": "integer"}}


def test_they_are_read_checked_and_told_from_what_is_known(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("id,event_time,Shop,way,items,colour\na,2024-01-01T00:00:00Z,fuel,1.5,3,red\nb,2024-01-02,,far,,\n")
    params = FurtherSourceParameters.model_validate(
        {"source": "own", "path": str(path), "columns": {"distance_km": "way"}, "further_columns": FURTHER}
    )
    contract = with_further_columns(CONTRACT, params)
    records = read_own_source(params, contract, "UTC", optional=params.further_columns)
    assert records.select(list(FURTHER)).rows() == [("fuel", 1.5, 3), (None, None, None)]
    assert records["parse_errors"].to_list() == [None, "distance_km: 'far' is no number"]
    checked, errors = conform(records, contract)
    assert errors == []
    assert set(FURTHER) < set(checked.columns)
    assert contract.column("distance_km").unit == "km"
    view = FeatureView(
        name="v",
        entity="id",
        entity_dtype="string",
        ttl=None,
        description="-",
        features=(Feature(name="age_d", dtype="float64", description="-"),),
    )
    assert further_names([*checked.columns, "age_d", "split"], CONTRACT, (view,)) == [*FURTHER, "parse_errors"]


def test_projects_without_the_parameter_keep_their_contract():
    assert with_further_columns(CONTRACT, NoParameters()) == CONTRACT


def test_names_that_cannot_be_are_refused():
    with pytest.raises(ValidationError, match="'Händler' is not snake_case"):
        FurtherSourceParameters.model_validate({"source": "own", "further_columns": {"Händler": {}}})
    with pytest.raises(ValidationError, match="the source is 'simulated'"):
        FurtherSourceParameters.model_validate({"further_columns": {"shop": {}}})
    taken = FurtherSourceParameters.model_validate({"source": "own", "further_columns": {"id": {}}})
    with pytest.raises(ValueError, match="the contract has id already"):
        with_further_columns(CONTRACT, taken)
