"""With a key, registration signs and the server loads nothing that it did not sign; the key stands nowhere."""

import pytest

from modelyard.model_registry.aliases import RegistryView
from modelyard.model_registry.mlflow_model import FILES_TAG
from modelyard.model_registry.signing import KEY_VARIABLE, SIGNATURE_TAG
from modelyard.projects import load_project
from modelyard.serving.loaded_version import RefusalError, load_checked
from tests.modelyard.serving.conftest import PROJECT

KEY = "a-key-that-only-this-test-has-0123456789"


@pytest.fixture(scope="module")
def signed_version(registry):
    """The number of a version that was registered with the key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        return registry.add(registry.models[1])


def loaded(registry, version, **tags):
    with registry.here():
        candidate = RegistryView().candidate(PROJECT, str(version))
        changed = type(candidate)(**{**vars(candidate), "tags": {**candidate.tags, **tags}})
        return load_checked(load_project(PROJECT), changed)


def test_a_signed_version_is_loaded_with_the_key_and_without(registry, signed_version, monkeypatch):
    assert loaded(registry, signed_version).version == str(signed_version)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert loaded(registry, signed_version).version == str(signed_version)


def test_an_unsigned_or_wrongly_signed_version_is_refused(registry, signed_version, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    for version, tags in (
        (1, {}),
        (1, {SIGNATURE_TAG: "0" * 64}),
        (signed_version, {FILES_TAG: "0" * 64}),
        (signed_version, {FILES_TAG: ""}),
        (signed_version, {SIGNATURE_TAG: "é"}),
    ):
        with pytest.raises(RefusalError) as refused:
            loaded(registry, version, **tags)
        assert refused.value.reason == "signature"
        assert KEY not in str(refused.value)
    monkeypatch.setenv(KEY_VARIABLE, KEY[::-1])
    with pytest.raises(RefusalError, match="signed with another key"):
        loaded(registry, signed_version)


def test_the_key_stands_in_no_file(registry, signed_version):
    files = [path for path in registry.data.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
