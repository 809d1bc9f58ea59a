"""Parameters around a run: defaults where nothing is configured, and mistakes that are said before any node runs."""

import shutil
from pathlib import Path

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from modelyard.errors import ConfigurationError
from modelyard.paths import repository
from modelyard.scoring import EvaluateParameters

PROJECT = "fraud_detection"


@pytest.fixture
def conf(tmp_path) -> Path:
    """A copy of conf/base and conf/ci."""
    for environment in ("base", "ci"):
        shutil.copytree(repository() / "conf" / environment, tmp_path / "conf" / environment)
    return tmp_path / "conf"


@pytest.fixture
def load(conf, data_directory):
    """``load(**runtime_params)``: the catalog's parameters, as a run of the project gets them."""
    bootstrap_project(repository())

    def context(**runtime_params):
        pipelines.set_requested([PROJECT])
        session = KedroSession.create(repository(), env="ci", conf_source=str(conf), runtime_params=runtime_params)
        with session:
            context = session.load_context()
            context._pipelines_to_validate = [PROJECT]
            return context.catalog

    yield context
    pipelines.set_requested(None)


def test_an_absent_group_has_its_defaults(load, conf):
    (conf / "base" / PROJECT / "parameters.yml").write_text(f"{PROJECT}:\n")
    (conf / "ci" / PROJECT / "parameters.yml").write_text(f"{PROJECT}:\n  evaluate:\n")
    catalog = load()
    assert catalog.load(f"params:{PROJECT}.evaluate") == EvaluateParameters()
    assert catalog.load("parameters")[PROJECT]["evaluate"] == EvaluateParameters()


def test_a_value_of_the_command_line_needs_no_group_in_a_file(load, conf):
    (conf / "ci" / PROJECT / "parameters.yml").write_text(f"{PROJECT}: {{}}\n")
    assert load(**{PROJECT: {"evaluate": {"seed": 7}}}).load(f"params:{PROJECT}.evaluate").seed == 7


def test_files_of_other_projects_are_not_read(load, conf):
    for path in conf.glob("*/*/parameters.yml"):
        if path.parent.name != PROJECT:
            path.write_text("a: [broken")
    assert set(load().load("parameters")) == {PROJECT}


def test_a_file_for_all_projects_is_read(load, conf):
    (conf / "ci" / "parameters.yml").write_text(f"{PROJECT}: {{gate: {{floor_margin: 0.25}}}}\n")
    assert load().load(f"params:{PROJECT}.gate").floor_margin == 0.25


def test_a_folder_of_no_project_is_not_passed_over(load, conf):
    (conf / "ci" / PROJECT).rename(conf / "ci" / "fraud_detecton")
    with pytest.raises(ConfigurationError, match="Did you mean 'fraud_detection'"):
        load()
