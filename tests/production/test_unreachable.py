"""What a user is told when a variable is missing or a server is not there: one error, at once, without a password."""

import os
import subprocess
import sys

import pytest

from modelyard.back_ends import environment as back_ends
from modelyard.back_ends.environment import VARIABLES, environment_variable, shown
from modelyard.errors import ConfigurationError, StorageError
from modelyard.paths import repository
from tests.services import free_port, s3_environment

DRIVER = "postgresql+psycopg"


def prod_run(environment: dict[str, str], data) -> subprocess.CompletedProcess:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("MODELYARD_", "MLFLOW_", "AWS_"))
    }
    command = [sys.executable, "-m", "kedro", "run", "--pipeline=fraud_detection", "--env=prod"]
    clean |= environment | {"MODELYARD_DATA_DIR": str(data)}
    return subprocess.run(
        command, cwd=repository(), env=clean, capture_output=True, text=True, check=False, timeout=300
    )


def test_a_missing_variable_is_named_before_anything_is_done(tmp_path):
    ended = prod_run({}, tmp_path)
    assert ended.returncode == ConfigurationError.exit_code, ended.stdout + ended.stderr
    assert "MLFLOW_TRACKING_URI is not set" in ended.stderr
    assert "docs/production.md" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_password_is_said_before_anything_is_done(postgresql, tmp_path):
    wrong = postgresql.address(DRIVER, "mlflow", password="wrong-word")
    ended = prod_run(dict.fromkeys(VARIABLES.values(), wrong), tmp_path)
    assert ended.returncode == StorageError.exit_code, ended.stdout + ended.stderr
    assert "password authentication failed" in ended.stderr
    assert "MLFLOW_TRACKING_URI" in ended.stderr
    assert "wrong-word" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tracking", "studies", "feature_registry"])
@pytest.mark.parametrize(
    ("address", "kind", "said"),
    [
        ("postgresql+psycopg://user:wrong-word@127.0.0.1:{port}/database", StorageError, "Connection refused"),
        ("mysql://user:wrong-word@127.0.0.1/database", ConfigurationError, "holds no PostgreSQL address"),
        ("postgresql://user:wrong-word@127.0.0.1:port/database", ConfigurationError, "holds no PostgreSQL address"),
        ("", ConfigurationError, "is not set"),
    ],
)
def test_a_database_that_is_not_there(name, address, kind, said, monkeypatch):
    monkeypatch.delenv(VARIABLES[name], raising=False)
    with pytest.raises(kind, match=said) as raised:
        back_ends.configure({name: address.format(port=free_port())})
    assert VARIABLES[name] in str(raised.value)
    assert "wrong-word" not in str(raised.value)
    assert VARIABLES[name] not in os.environ


def test_a_database_of_another_name(postgresql):
    with pytest.raises(StorageError, match='database "nowhere" does not exist'):
        back_ends.configure({"studies": postgresql.address(DRIVER, "nowhere")})


@pytest.mark.parametrize(
    ("address", "change", "kind", "said"),
    [
        ("s3://nowhere/folder", {}, StorageError, "404"),
        ("s3://modelyard/folder", {"AWS_SECRET_ACCESS_KEY": "wrong-word"}, StorageError, "403"),
        (
            "s3://modelyard/folder",
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:{port}"},
            StorageError,
            "Could not connect",
        ),
        ("/a/folder", {}, ConfigurationError, "holds no S3 address"),
        ("", {}, ConfigurationError, "MLFLOW_DEFAULT_ARTIFACT_ROOT is not set"),
    ],
)
def test_an_artifact_store_that_is_not_there(s3, monkeypatch, address, change, kind, said):
    for variable, value in (s3_environment(s3) | change).items():
        monkeypatch.setenv(variable, value.format(port=free_port()))
    with pytest.raises(kind, match=said) as raised:
        back_ends.configure({"artifacts": address})
    assert not [word for word in {"wrong-word", *s3.secrets()} if word in str(raised.value)]


def test_all_back_ends_that_answer_are_handed_on(postgresql, redis, s3, monkeypatch):
    for variable, value in s3_environment(s3).items():
        monkeypatch.setenv(variable, value)
    addresses = {
        "tracking": postgresql.address(DRIVER, "mlflow"),
        "artifacts": "s3://modelyard/mlflow",
        "studies": postgresql.address(DRIVER, "optuna"),
        "feature_registry": postgresql.address(DRIVER, "feast"),
        "online_features": redis.address("redis", "3"),
    }
    for name in addresses:
        monkeypatch.setenv(VARIABLES[name], "an earlier value")
    back_ends.configure(addresses)
    assert {name: os.environ[VARIABLES[name]] for name in addresses} == addresses


def test_an_mlflow_server_that_is_not_there_and_needs_no_artifact_root():
    address = f"http://user:wrong-word@127.0.0.1:{free_port()}"
    with pytest.raises(StorageError, match="MLflow server does not answer") as raised:
        back_ends.configure({"artifacts": "", "tracking": address})
    assert "wrong-word" not in str(raised.value)


def test_a_back_end_that_nobody_reads():
    with pytest.raises(ConfigurationError, match="no back end called trackin"):
        back_ends.configure({"trackin": "postgresql://host/database"})


def test_environment_variables_in_conf(monkeypatch):
    monkeypatch.setenv("MODELYARD_TEST", "value")
    assert environment_variable("MODELYARD_TEST") == "value"
    monkeypatch.setenv("MODELYARD_TEST", "")
    assert environment_variable("MODELYARD_TEST", "") == ""
    with pytest.raises(ConfigurationError, match="MODELYARD_TEST is not set"):
        environment_variable("MODELYARD_TEST")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://user:pass%40word@host:1/db", "postgresql://user:***@host:1/db"),
        ("postgresql://user:pass@word@host:1/db?password=word", "postgresql://user:***@host:1/db"),
        ("sqlite:////folder/mlflow.db", "sqlite:////folder/mlflow.db"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_addresses_are_shown_without_a_password(address, expected):
    assert shown(address) == expected


def test_a_reproduction_uses_no_shared_server(monkeypatch):
    for variable in (*VARIABLES.values(), "MODELYARD_LOCK_WAIT_S"):
        monkeypatch.setenv(variable, "shared")
    left = back_ends.without_back_ends(os.environ)
    assert left["MODELYARD_LOCK_WAIT_S"] == "shared"
    assert not set(VARIABLES.values()) & set(left)


def test_every_back_end_of_the_environment_is_documented():
    page = (repository() / "docs" / "production.md").read_text()
    demanded = (repository() / "conf" / "prod" / "back_ends.yml").read_text()
    for name, variable in back_ends.VARIABLES.items():
        assert f"`{variable}`" in page
        assert f"{name}: ${{oc.env:{variable}" in demanded
