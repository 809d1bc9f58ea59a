"""Which modules and parameters a stage uses, found without importing any."""

import ast

import pytest
import yaml

from modelyard.errors import ConfigurationError
from modelyard.lifecycle import assemble
from modelyard.lineage import imports, record_fields, stage_code
from modelyard.lineage.imports import file_of, imported, parsed
from modelyard.lineage.record_fields import fields_read, rooms
from modelyard.lineage.stage_code import listing, model_modules, stage_modules, stage_names, write_listings
from modelyard.lineage.stage_nodes import dataset_modules, lifecycle_nodes, stages
from modelyard.paths import repository
from modelyard.projects import load_project, project_names

PROJECT = "fraud_detection"


def names(stage: str, project: str = PROJECT) -> set[str]:
    return {file.relative_to(repository()).as_posix() for file in stage_modules(project, stage)}


def stages_of(module: str, project: str = PROJECT) -> list[str]:
    return [stage for stage in stage_names() if module in names(stage, project)]


def test_imports_are_followed_also_inside_functions():
    train = names("train")
    assert "pipelines/fraud_detection/network.py" in train  # imported by model.py
    assert "src/modelyard/training/checkpoints.py" in train  # imported inside a function of the loop


def test_a_module_named_by_a_string_belongs_too():
    assert "src/modelyard/feature_store/asof.py" in names("featurize")  # Feast finds its offline store by dotted path


@pytest.mark.parametrize("project", project_names())
@pytest.mark.parametrize(
    ("room", "of_stages"),
    [
        ("model", ["train", "tune", "evaluate"]),
        ("train", ["train", "tune"]),
        ("figures", ["evaluate"]),
        ("evaluate", ["train", "tune", "evaluate"]),
        ("serve", ["evaluate"]),
        ("play", ["evaluate"]),  # the report asks the page's question
        ("pipeline", ["ingest", "validate", "featurize", "train", "tune", "evaluate"]),
    ],
)
def test_a_room_concerns_the_stages_that_call_it(project, room, of_stages):
    assert stages_of(f"pipelines/{project}/{room}.py", project) == of_stages


@pytest.mark.parametrize(
    ("module", "of_stages"),
    [
        ("stages/validate.py", ["validate"]),
        ("stages/register.py", ["evaluate"]),
        ("catalog/features.py", ["featurize"]),
        ("tuning/search.py", ["tune"]),
        ("commands/run.py", []),
        ("serving/routes.py", []),
        ("retraining/retrain.py", []),
    ],
)
def test_a_module_of_the_spine_concerns_the_stages_that_run_it(module, of_stages):
    assert stages_of(f"src/modelyard/{module}") == of_stages


def test_what_only_serves_or_commands_cannot_change_a_model():
    folders = {file.parent.name for file in model_modules(PROJECT)}
    assert not folders & {"commands", "starter", "serving", "retraining"}


def test_the_stages_of_dvc_run_every_node_once():
    listed = [node for nodes in stages(repository() / "dvc.yaml").values() for node in nodes]
    pipeline = assemble(load_project(PROJECT))
    assert sorted(listed) == sorted(node.name.rpartition(".")[2] for node in pipeline.nodes)
    assert sorted(listed) == sorted(lifecycle_nodes(repository() / "src" / "modelyard" / "lifecycle.py"))


def test_nodes_are_read_as_kedro_has_them():
    read = lifecycle_nodes(repository() / "src" / "modelyard" / "lifecycle.py")
    for node in assemble(load_project(PROJECT)).nodes:
        name = node.name.rpartition(".")[2]
        module = node.func.__module__
        assert read[name].module == file_of(module), name
        known = {one.replace(f"{PROJECT}.", "") for one in (*node.inputs, *node.outputs)}
        groups = {f"params:{group}" for group in read[name].groups}
        # The run record holds the groups of all nodes before it; it does not depend on their values one by one.
        assert set(read[name].datasets) | groups == {one for one in known if name != "describe" or ":" not in one}


def test_datasets_are_found_as_kedro_finds_them():
    catalog = repository() / "conf" / "base" / "catalog.yml"
    assert dataset_modules(["trained_model"], catalog) == {file_of("modelyard.catalog.models")}
    assert dataset_modules(["run_context"], catalog) == {file_of("modelyard.lineage.run_context")}
    assert dataset_modules(["no_such_thing"], catalog) == set()


def test_a_node_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    path = tmp_path / "src" / "modelyard" / "lifecycle.py"
    path.parent.mkdir(parents=True)
    path.write_text("nodes = [\n    Node(functions[0], 'a', 'b', name='c')]\n")
    monkeypatch.setattr(imports, "repository", lambda: tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        lifecycle_nodes(path)
    assert caught.value.where.endswith("line 2")


def test_type_checking_imports_are_not_followed(tmp_path, monkeypatch):
    source = tmp_path / "src" / "modelyard"
    source.mkdir(parents=True)
    (source / "a.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import modelyard.b\n")
    (source / "b.py").touch()
    monkeypatch.setattr(imports, "repository", lambda: tmp_path)
    assert imported(source / "a.py") == ()


def test_relative_imports_are_followed_but_no_module_that_only_lies_beside(tmp_path, monkeypatch):
    folder = tmp_path / "pipelines" / "plums"
    folder.mkdir(parents=True)
    for name in ("data", "model", "serve"):
        (folder / f"{name}.py").touch()
    (folder / "__init__.py").write_text("from .serve import decode\n")
    (folder / "train.py").write_text("from . import data\nfrom .model import fit\n")
    monkeypatch.setattr(imports, "repository", lambda: tmp_path)
    assert {file.stem for file in imported(folder / "train.py")} == {"data", "model"}


READS = """
def stage(project, path):
    fit = project.fit
    value = project.metrics.score(rows)[project.metrics.primary].value
    model = load_project(name).model_format.load(path)
    return self._project.api.decode, other.predict, project
"""


def test_fields_are_what_follows_the_record(tmp_path):
    path = tmp_path / "stage.py"
    path.write_text(READS)
    assert fields_read(path) == {
        ("fit",),
        ("metrics", "score"),
        ("metrics", "primary"),
        ("model_format", "load"),
        ("api", "decode"),
    }


WIRING = """
from .evaluate import METRICS, figures
from .other import score
from .model import load, save
from .serve import decode

PROJECT = Project(name="plums", metrics=METRICS, figures=partial(figures, 3), api=Api(decode=decode, more=save))
"""


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (("metrics", "score"), {"evaluate"}),
        (("figures",), {"evaluate"}),
        (("api", "decode"), {"serve"}),
        (("api",), {"serve", "model"}),
        (("name",), set()),
        (("gate",), set()),
    ],
)
def test_a_field_comes_from_the_rooms_that_its_value_names(tmp_path, monkeypatch, field, found):
    folder = tmp_path / "pipelines" / "plums"
    folder.mkdir(parents=True)
    for name in ("evaluate", "other", "model", "serve"):
        (folder / f"{name}.py").touch()
    (folder / "pipeline.py").write_text(WIRING)
    monkeypatch.setattr(imports, "repository", lambda: tmp_path)
    assert {room.stem for room in rooms(folder, [field])} == found


def test_what_decides_a_model_calls_the_record_project():
    """What is called otherwise would not be seen, and a change behind it would run nothing."""
    for file in model_modules(PROJECT):
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.arg) and node.annotation and ast.unparse(node.annotation).strip("'\"") == "Project":
                assert node.arg in record_fields._RECORD, f"{file}, line {node.lineno}"
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                target = ast.unparse(node.targets[0]).rpartition(".")[2]
                is_record = ast.unparse(node.value.func) == "load_project"
                assert not is_record or target in record_fields._RECORD, f"{file}, line {node.lineno}"


def test_listings_change_with_a_module_and_only_then(data_directory):
    write_listings()
    files = sorted(data_directory.glob("00_code/*/*.txt"))
    assert [file.stem for file in files if file.parent.name == PROJECT] == sorted(stage_names())
    assert {file.parent.name for file in files} == set(project_names())
    written = {file: (file.stat().st_mtime_ns, file.read_text()) for file in files}
    write_listings()
    assert {file: (file.stat().st_mtime_ns, file.read_text()) for file in files} == written


@pytest.mark.parametrize("stage", stage_names())
def test_a_listing_has_a_digest_and_a_path_in_each_line(stage):
    for line in listing(stage_modules(PROJECT, stage)).splitlines():
        digest, path = line.split("  ")
        assert len(digest) == 64
        assert (repository() / path).is_file()


def test_parameters_are_those_of_the_stages_nodes_and_absent_ones_are_empty():
    found = stage_code.stage_parameters(PROJECT, "tune")
    assert list(found) == ["fit", "run", "score", "tune"]
    assert found["run"] == {}
    configured = repository() / "conf" / "base" / PROJECT / "parameters.yml"
    assert found["tune"] == yaml.safe_load(configured.read_text())[PROJECT]["tune"]
    assert listing([], found).splitlines()[-1].startswith("params:tune  {")
