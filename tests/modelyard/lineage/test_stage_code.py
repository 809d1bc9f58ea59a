"""Which modules a stage runs, found without importing any."""

import pytest

from modelyard.lineage import stage_code
from modelyard.lineage.stage_code import STAGES, listing, model_modules, stage_modules, write_listings
from modelyard.projects import project_names

PROJECT = "fraud_detection"


def names(stage: str) -> set[str]:
    return {file.relative_to(stage_code.repository()).as_posix() for file in stage_modules(PROJECT, stage)}


def test_imports_are_followed_also_inside_functions():
    train = names("train")
    assert "pipelines/fraud_detection/network.py" in train  # imported by model.py
    assert "src/modelyard/training/checkpoints.py" in train  # imported inside a function of the loop


def test_a_module_named_by_a_string_belongs_too():
    assert "src/modelyard/feature_store/asof.py" in names("featurize")  # Feast finds its offline store by dotted path


def test_a_stage_does_not_depend_on_later_rooms():
    before_training = names("ingest") | names("validate") | names("featurize")
    rooms = {f"pipelines/fraud_detection/{room}.py" for room in ("model", "train", "evaluate", "serve")}
    assert not before_training & rooms
    assert "pipelines/fraud_detection/serve.py" not in names("train")


def test_what_only_serves_or_commands_cannot_change_a_model():
    folders = {file.parent.name for file in model_modules(PROJECT)}
    assert not folders & {"commands", "starter", "serving", "retraining"}


def test_type_checking_imports_are_not_followed(tmp_path, monkeypatch):
    source = tmp_path / "src" / "modelyard"
    source.mkdir(parents=True)
    (source / "a.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import modelyard.b\n")
    (source / "b.py").touch()
    monkeypatch.setattr(stage_code, "repository", lambda: tmp_path)
    assert stage_code._imported(source / "a.py") == ()


def test_listings_change_with_a_module_and_only_then(tmp_path, monkeypatch, data_directory):
    write_listings()
    files = sorted(data_directory.glob("00_code/*/*.txt"))
    assert [file.stem for file in files if file.parent.name == PROJECT] == sorted(STAGES)
    assert {file.parent.name for file in files} == set(project_names())
    written = {file: (file.stat().st_mtime_ns, file.read_text()) for file in files}
    write_listings()
    assert {file: (file.stat().st_mtime_ns, file.read_text()) for file in files} == written


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_listing_has_a_digest_and_a_path_in_each_line(stage):
    for line in listing(stage_modules(PROJECT, stage)).splitlines():
        digest, path = line.split("  ")
        assert len(digest) == 64
        assert (stage_code.repository() / path).is_file()
