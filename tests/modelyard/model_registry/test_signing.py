"""With a key, what is not signed with it is not promoted, and the way out signs what a person trusts."""

import pytest
from click.testing import CliRunner

from modelyard.commands.promote import promote as promote_command
from modelyard.errors import ConfigurationError, StorageError
from modelyard.model_registry.mlflow_model import FILES_TAG, write_checksums
from modelyard.model_registry.promotion import promote, rollback
from modelyard.model_registry.signing import KEY_VARIABLE, SIGNATURE_TAG, check_signature, signed

PROJECT = "fraud_detection"
KEY, OTHER = "correct horse battery staple, 32+", "another key of thirty-two letters"


@pytest.fixture
def store(mlflow_database, monkeypatch):
    """Version 1 was registered without a key, 2 with it, 3 with another one, 4 without a digest."""
    from modelyard.tracking.mlflow_store import client

    store = client()
    store.create_registered_model(PROJECT)
    for number, key in enumerate(("", KEY, OTHER, ""), 1):
        folder = mlflow_database / "versions" / str(number)
        folder.mkdir(parents=True)
        (folder / "weights").write_text(str(number))
        digest = write_checksums(folder)
        monkeypatch.setenv(KEY_VARIABLE, key)
        tags = {"gate": "passed"} | ({FILES_TAG: digest} if number < 4 else {}) | signed(PROJECT, digest)
        store.create_model_version(PROJECT, source=folder.as_uri(), tags=tags)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    return store


def test_only_what_the_key_has_signed_is_promoted(store, monkeypatch):
    with pytest.raises(StorageError, match="not signed") as refused:
        promote(PROJECT, "1")
    assert "--version 1 --sign" in refused.value.way_out
    with pytest.raises(StorageError, match="signed with another key"):
        promote(PROJECT, "3")
    assert promote(PROJECT, "2") == ("2", None)
    monkeypatch.delenv(KEY_VARIABLE)
    assert promote(PROJECT, "1") == ("1", "2")


def test_a_rollback_passes_over_what_is_not_signed(store, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE)
    for version in ("2", "1", "3"):
        promote(PROJECT, version)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert rollback(PROJECT) == ("2", "3")


def test_changed_files_are_refused_even_with_their_digest_rewritten(store, mlflow_database):
    folder = mlflow_database / "versions" / "2"
    (folder / "weights").write_text("mine")
    store.set_model_version_tag(PROJECT, "2", FILES_TAG, write_checksums(folder))
    with pytest.raises(StorageError, match="signed with another key, or changed"):
        promote(PROJECT, "2")


def test_a_person_signs_what_he_trusts(store):
    runner = CliRunner()
    signs = runner.invoke(promote_command, [PROJECT, "--version", "1", "--sign"])
    assert signs.exit_code == 0, signs.output
    assert store.get_model_version(PROJECT, "1").tags[SIGNATURE_TAG]
    assert promote(PROJECT, "2") == ("2", "1")
    with pytest.raises(ConfigurationError, match="without a digest"):
        promote(PROJECT, "4", signs=True)


def test_nothing_is_signed_that_was_changed_or_without_a_key(store, mlflow_database, monkeypatch):
    (mlflow_database / "versions" / "1" / "weights").write_text("mine")
    with pytest.raises(StorageError, match="damaged"):
        promote(PROJECT, "1", signs=True)
    assert SIGNATURE_TAG not in store.get_model_version(PROJECT, "1").tags
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ConfigurationError, match="no key"):
        promote(PROJECT, "2", signs=True)


def test_a_signature_is_of_one_project(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    tags = {FILES_TAG: "d" * 64} | signed(PROJECT, "d" * 64)
    check_signature(PROJECT, "1", tags)
    with pytest.raises(StorageError, match="another key"):
        check_signature("stock_market_prediction", "1", tags)


def test_a_key_that_is_too_short_is_refused_and_not_repeated(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "hunter2")
    for use in (lambda: signed(PROJECT, "d"), lambda: check_signature(PROJECT, "1", {})):
        with pytest.raises(ConfigurationError, match="7 characters") as refused:
            use()
        assert "hunter2" not in str(refused.value)
