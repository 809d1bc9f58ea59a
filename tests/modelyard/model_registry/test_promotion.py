"""Promotion: the alias, the history, the way back, and what is refused; on a real registry without models."""

import shutil

import pytest
from click.testing import CliRunner

from modelyard.errors import ConfigurationError, StorageError
from modelyard.model_registry.mlflow_model import FILES_TAG, write_checksums
from modelyard.model_registry.promotion import HISTORY_TAG, PROMOTED_TAG, promote, rollback
from modelyard.retraining.policy import POLICY_VARIABLE, PromotionPolicy, policy_path, promotion_policy

PROJECT = "fraud_detection"


@pytest.fixture
def store(mlflow_database):
    """Versions 1, 2, 3 that passed, 4 that failed, 5 without a verdict."""
    from modelyard.tracking.mlflow_store import client

    store = client()
    store.create_registered_model(PROJECT)
    for number, tags in enumerate(
        ({"gate": "passed"},) * 3 + ({"gate": "failed", "gate_reason": "worse than the floor"}, {}), 1
    ):
        folder = files_of(mlflow_database, number)
        folder.mkdir(parents=True)
        (folder / "weights").write_text(str(number))
        digest = write_checksums(folder)
        store.create_model_version(PROJECT, source=folder.as_uri(), tags=tags | {FILES_TAG: digest})
    return store


def files_of(data, version):
    return data / "versions" / str(version)


def champion(store):
    return str(store.get_registered_model(PROJECT).aliases.get("champion", ""))


def test_the_champions_form_a_history_and_rollback_walks_it_back(store):
    assert promote(PROJECT, "1", by="Ada") == ("1", None)
    assert promote(PROJECT, "2") == ("2", "1")
    assert promote(PROJECT, "3") == ("3", "2")
    assert champion(store) == "3"
    assert rollback(PROJECT) == ("2", "3")
    assert rollback(PROJECT) == ("1", "2")
    with pytest.raises(ConfigurationError, match="No earlier champion"):
        rollback(PROJECT)
    assert champion(store) == "1"
    assert store.get_model_version(PROJECT, "1").tags[PROMOTED_TAG].endswith("by Ada")
    assert promote(PROJECT, "3") == ("3", "1")
    assert rollback(PROJECT) == ("1", "3"), "version 2 was rolled back before: it is no way back"


def test_promoting_the_champion_again_changes_nothing(store):
    promote(PROJECT, "1")
    promote(PROJECT, "2")
    assert promote(PROJECT, "2") == ("2", "2")
    assert store.get_registered_model(PROJECT).tags[HISTORY_TAG] == "1 2"


def test_an_alias_that_was_moved_by_hand_is_part_of_the_history(store):
    promote(PROJECT, "1")
    store.set_registered_model_alias(PROJECT, "champion", "2")  # as the MLflow UI does
    assert promote(PROJECT, "3") == ("3", "2")
    assert rollback(PROJECT) == ("2", "3")
    assert rollback(PROJECT) == ("1", "2")
    store.set_registered_model_alias(PROJECT, "champion", "3")
    assert rollback(PROJECT).previous == "3"


def test_a_kill_between_history_and_alias_leaves_the_old_champion_and_its_way_back(store, monkeypatch):
    promote(PROJECT, "1")
    promote(PROJECT, "2")
    from mlflow import MlflowClient

    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, "set_registered_model_alias", killed)
        promote(PROJECT, "3")
    assert champion(store) == "2"
    assert rollback(PROJECT) == ("1", "2")
    assert promote(PROJECT, "3") == ("3", "1")


@pytest.mark.parametrize(
    ("version", "reason"),
    [("4", "failed: worse than the floor"), ("5", "no verdict"), ("9", "has no version 9"), ("two", "no version two")],
)
def test_what_must_not_serve_is_refused_in_one_error(store, version, reason):
    promote(PROJECT, "1")
    with pytest.raises(ConfigurationError, match=reason) as caught:
        promote(PROJECT, version)
    assert caught.value.where
    assert caught.value.way_out
    assert champion(store) == "1"


def test_rollback_passes_over_versions_that_are_gone_or_lost_their_verdict(store):
    for version in "123":
        promote(PROJECT, version)
    store.set_model_version_tag(PROJECT, "2", "gate", "failed")
    assert rollback(PROJECT) == ("1", "3")
    promote(PROJECT, "3")
    store.delete_model_version(PROJECT, "1")
    with pytest.raises(ConfigurationError, match="No earlier champion"):
        rollback(PROJECT)


def change_weights(folder):
    (folder / "weights").write_text("evil")


def change_weights_and_checksums(folder):
    change_weights(folder)
    write_checksums(folder)


def delete_checksums(folder):
    change_weights(folder)
    (folder / "checksums.json").unlink()


@pytest.mark.parametrize("damage", [change_weights, change_weights_and_checksums, delete_checksums, shutil.rmtree])
def test_a_version_whose_files_are_not_those_that_were_registered_is_not_promoted(store, mlflow_database, damage):
    promote(PROJECT, "1")
    promote(PROJECT, "2")
    damage(files_of(mlflow_database, 3))
    with pytest.raises(StorageError):
        promote(PROJECT, "3")
    assert champion(store) == "2"
    damage(files_of(mlflow_database, 1))
    with pytest.raises(ConfigurationError, match="No earlier champion"):
        rollback(PROJECT)


def test_the_command_says_what_changed_and_refuses_readably(store):
    from modelyard.commands.promote import promote as command

    run = CliRunner().invoke
    assert "champion is version 1, was none" in run(command, [PROJECT, "--version", "1"]).output
    assert "already" in run(command, [PROJECT, "--version", "1"]).output
    run(command, [PROJECT, "--version", "2"])
    assert "champion is version 1, was 2" in run(command, [PROJECT, "--rollback"]).output
    for arguments in ([PROJECT], [PROJECT, "--version", "4"], ["fraud_detektion", "--version", "1"]):
        refused = run(command, arguments)
        assert refused.exit_code == 2
        assert refused.output.startswith("Error: ")
        assert "Traceback" not in refused.output


def test_the_policy_in_the_repository_leaves_promotion_to_people():
    assert policy_path().parts[-2:] == ("mlflow", "promotion.yml")
    assert promotion_policy(PROJECT) == PromotionPolicy(policy="manual")


def test_a_policy_of_its_own_replaces_the_default(tmp_path, monkeypatch):
    path = tmp_path / "promotion.yml"
    path.write_text(f"default: {{policy: auto}}\nprojects:\n  {PROJECT}: {{policy: manual, margin: 0.5}}\n")
    monkeypatch.setenv(POLICY_VARIABLE, str(path))
    assert promotion_policy(PROJECT) == PromotionPolicy(policy="manual", margin=0.5)
    assert promotion_policy("another_project").policy == "auto"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("default: {polizy: auto}", "did you mean 'policy'"),
        ("default: {policy: automatic}", "default.policy"),
        ("projects: {fraud_detektion: {}}", "Did you mean 'fraud_detection'"),
        ("default: [", "not YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_policy_is_said_where_it_is_wrong(tmp_path, monkeypatch, content, said):
    path = tmp_path / "promotion.yml"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(POLICY_VARIABLE, str(path))
    with pytest.raises(ConfigurationError, match=said):
        promotion_policy(PROJECT)
