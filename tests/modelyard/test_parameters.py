from __future__ import annotations

from dataclasses import dataclass

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


class Tree(Parameters):
    depth: int = Field(3, ge=1, description="Levels.")
    shrinkage: float = Field(0.1, gt=0, description="Step.")


@dataclass(frozen=True)
class Loop:
    epochs: int = 20
    patience: int = 5


class Nested(Parameters):
    tree: Tree = Field(Tree(depth=7), description="A tree.")
    loop: Loop = Field(Loop(patience=9), description="A loop.")


class Outer(Parameters):
    nested: Nested = Field(Nested(tree=Tree(shrinkage=0.5)), description="Both.")


def test_differences_of_a_nested_model_keep_the_rest_of_the_fields_default():
    assert Nested.model_validate({"tree": {"shrinkage": 0.2}, "loop": {"epochs": 2}}) == Nested(
        tree=Tree(depth=7, shrinkage=0.2), loop=Loop(epochs=2, patience=9)
    )
    assert Outer.model_validate({"nested": {"tree": {"depth": 2}}}).nested.tree == Tree(depth=2, shrinkage=0.5)
    changed = Outer(nested=Nested(tree=Tree(depth=1)))
    assert Outer.model_validate_json(changed.model_dump_json()) == changed
    with pytest.raises(ValidationError, match="unknown parameter 'dept'; did you mean 'depth'"):
        Outer.model_validate({"nested": {"tree": {"dept": 2}}})
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Nested.model_validate({"tree": {"depth": 0}})


def test_the_model_is_found_although_other_annotations_cannot_be_resolved():
    assert parameters_of(fit) is Fit


def test_a_function_without_a_model_is_refused():
    with pytest.raises(ConfigurationError, match="no_model has 0 arguments"):
        parameters_of(no_model)
