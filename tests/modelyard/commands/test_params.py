"""``kedro params``: what a person who looks for a parameter sees."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import pytest
from click.testing import CliRunner
from pydantic import Field
from pydantic.dataclasses import dataclass

from modelyard.commands.params import listed, params
from modelyard.parameters import Parameters
from modelyard.projects import project_names


class Nested(Parameters):
    """A nested group."""

    share: float = Field(0.1, ge=0, lt=1, description="Share of something.")


@dataclass(frozen=True)
class World:
    """A dataclass, as simulators have them."""

    n_days: int = Field(7, ge=1, description="Days.")


class Toy(Parameters):
    """Parameters of a toy."""

    kind: Literal["a", "b"] = Field("a", description="Which.")
    nested: Nested = Field(Nested(share=0.5), description="Those of the nested group.")
    world: World = Field(World(), description="The world.")
    names: Mapping[str, str] = Field({}, description="Names.")
    most: int | None = Field(None, ge=1, description="At most. None: any.")


def test_a_nested_default_is_that_of_the_place_not_of_its_class():
    found = {one.path: one for one in listed(Toy(), "fit")}
    assert found["fit.nested.share"].default == "0.5"
    assert found["fit.nested.share"].bounds == "≥ 0 < 1"
    assert found["fit.world.n_days"].default == "7"
    assert found["fit.kind"][1:] == ("a | b", "a", "", "Which.")
    assert (found["fit.most"].kind, found["fit.most"].default) == ("int | null", "null")
    assert found["fit.names"].kind == "mapping of str, str"
    assert "fit.nested" not in found
    assert dataclasses.is_dataclass(Toy().world)


@pytest.mark.parametrize("project", project_names())
def test_every_parameter_of_a_project_is_listed(project):
    found = CliRunner().invoke(params, [project])
    assert found.exit_code == 0, found.output
    assert "n_trials" in found.output
    assert "ci: " in found.output
    assert f"--params={project}." in found.output


def test_a_text_keeps_what_contains_it_and_one_that_nothing_contains_is_said():
    found = CliRunner().invoke(params, ["fraud_detection", "max_depth"]).output
    assert "booster.max_depth" in found
    assert "n_trials" not in found
    wrong = CliRunner().invoke(params, ["fraud_detection", "no such thing"])
    assert wrong.exit_code != 0
    assert "No parameter of fraud_detection contains 'no such thing'" in wrong.output
