from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from modelyard.errors import ConfigurationError
from modelyard.parameters import Parameters, parameters_of


class Fit(Parameters):
    n_rounds: int = Field(10, ge=1, description="Boosting rounds.")


def fit(examples: NotImportedHere, params: Fit) -> NotImportedHere:  # noqa: F821 - a type for checkers only
    return params


def no_model(examples: int) -> int:
    return examples


def test_a_misspelt_parameter_names_the_nearest():
    with pytest.raises(ValidationError, match="unknown parameter 'n_round'; did you mean 'n_rounds'"):
        Fit(n_round=3)


def test_parameters_are_frozen_and_bounded():
    with pytest.raises(ValidationError):
        Fit(n_rounds=0)
    with pytest.raises(ValidationError):
        Fit().n_rounds = 3


def test_the_model_is_found_although_other_annotations_cannot_be_resolved():
    assert parameters_of(fit) is Fit


def test_a_function_without_a_model_is_refused():
    with pytest.raises(ConfigurationError, match="no_model has 0 arguments"):
        parameters_of(no_model)
