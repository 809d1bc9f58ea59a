"""compose.yml without Docker: what its containers would run is run as processes here, with the environment it gives."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from modelyard.paths import repository
from tests import services

SECRETS = {
    "POSTGRES_PASSWORD": "postgrespassword1",
    "REDIS_PASSWORD": "redispassword1",
    "AWS_ACCESS_KEY_ID": "accesskey1",
    "AWS_SECRET_ACCESS_KEY": "secretkey1",
}
OURS = ("mlflow", "serve", "schedule")


VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<rest>[^}]*))?\})")


def interpolated(text: str, variables: dict[str, str]) -> Any:
    """The file as Compose reads it: ``${NAME}``, ``${NAME:-else}``, ``${NAME:?message}``, ``$$`` in its strings."""

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        found = variables.get(match["name"]) or (match["rest"] if match["kind"] == ":-" else None)
        if found is None:
            raise KeyError(f"{match['name']}: {match['rest']}")
        return found

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: filled(inner) for key, inner in part.items()}
        if isinstance(part, list):
            return [filled(inner) for inner in part]
        return VARIABLE.sub(value, part) if isinstance(part, str) else part

    return filled(yaml.safe_load(text))


def compose_file() -> str:
    return (repository() / "compose.yml").read_text(encoding="utf-8")


def names(text: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, text, re.MULTILINE))


def test_every_variable_that_it_takes_is_in_the_example_and_no_other():
    example = (repository() / ".env.example").read_text(encoding="utf-8")
    assert names(compose_file(), r"\$\{(\w+)") == names(example, r"^(\w+)=")


@pytest.mark.parametrize("missing", SECRETS)
def test_a_secret_that_is_not_set_is_asked_for(missing):
    with pytest.raises(KeyError, match=f"{missing}: put it into .env"):
        interpolated(compose_file(), {name: value for name, value in SECRETS.items() if name != missing})


@pytest.mark.parametrize("service", ["serve", "schedule"])
def test_every_address_that_conf_prod_asks_for_is_given(service):
    asked = names((repository() / "conf" / "prod" / "back_ends.yml").read_text(encoding="utf-8"), r"\$\{oc\.env:(\w+)")
    assert len(asked) == 5
    assert asked <= interpolated(compose_file(), SECRETS)["services"][service]["environment"].keys()


def test_nothing_is_published_beyond_the_loopback_address():
    for name, service in interpolated(compose_file(), SECRETS)["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert ("--host" not in service.get("command", "")) or ("--host 127.0.0.1" in service["command"]), name


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come up")
        time.sleep(0.1)


@contextmanager
def process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    with log.open("wb") as output:
        started = subprocess.Popen(
            command, cwd=repository(), env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield started
    finally:
        # The group: a shell that is ended leaves what it has started (the file's Redis) behind.
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            started.wait(timeout=30)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[dict[str, Any]]:
    """The back ends by compose.yml's own commands, on free ports; PostgreSQL as its image starts it."""
    folder = tmp_path_factory.mktemp("compose")
    (folder / "redis").mkdir()
    ports = {port: str(services.free_port()) for port in ("6379", "9000", "5000", "8000", "3000")}
    with ExitStack() as stack, services.postgresql(databases=("mlflow",)) as postgresql:
        ports["5432"] = str(postgresql.port)
        text = re.sub(r"\b(5432|6379|9000|5000|8000|3000)\b", lambda match: ports[match[0]], compose_file())
        compose = interpolated(text, SECRETS)
        services.execute(postgresql, "mlflow", f"ALTER ROLE modelyard PASSWORD '{SECRETS['POSTGRES_PASSWORD']}'")
        password = compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]
        trusted = services.Service(postgresql.port, "modelyard", postgresql.folder, password)
        for statement in filter(str.strip, compose["configs"]["databases"]["content"].split(";")):
            services.execute(trusted, "mlflow", statement)
        system = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
        redis, s3 = compose["services"]["redis"], compose["services"]["s3"]
        own = f"port {ports['6379']}\\ndir {folder / 'redis'}\\nbind 127.0.0.1\\nappendonly yes"
        command = [part.replace("appendonly yes", own) for part in redis["command"]]
        stack.enter_context(process(command, system | redis["environment"], folder / "redis.log"))
        command = [
            part.replace("/buckets", str(folder / "buckets")).replace("0.0.0.0", "127.0.0.1")
            for part in s3["entrypoint"]
        ]
        stack.enter_context(process(command, system | s3["environment"], folder / "s3.log"))
        check = redis["healthcheck"]["test"][1].replace("redis-cli", f"redis-cli -p {ports['6379']}")
        healthy = ["sh", "-c", check]
        wait_until(
            lambda: subprocess.run(healthy, check=False, env=system | redis["environment"]).returncode == 0, "Redis"
        )
        wait_until(lambda: b":" + ports["9000"].encode() in (folder / "s3.log").read_bytes(), "the S3 server")
        yield {"compose": compose, "ports": ports, "system": system, "folder": folder}


def test_redis_asks_for_the_password(stack):
    asked = subprocess.run(
        ["redis-cli", "-p", stack["ports"]["6379"], "ping"], capture_output=True, text=True, check=False
    )
    assert "NOAUTH" in asked.stdout + asked.stderr
    assert (stack["folder"] / "redis" / "appendonlydir").is_dir()


def test_the_bucket_is_there_and_asks_for_the_key(stack):
    given = stack["compose"]["services"]["serve"]["environment"]

    def client(secret: str) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=given["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret,
            region_name=given["AWS_DEFAULT_REGION"],
        )

    client(given["AWS_SECRET_ACCESS_KEY"]).put_object(Bucket="modelyard", Key="a", Body=b"1")
    with pytest.raises(ClientError):
        client("another").put_object(Bucket="modelyard", Key="a", Body=b"2")


def answer(port: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_our_three_servers_come_up_on_the_back_ends(stack):
    system = stack["system"] | {"MODELYARD_DATA_DIR": str(stack["folder"] / "data")}
    expected = {
        "mlflow": (stack["ports"]["5000"], "/health", 200),
        "serve": (stack["ports"]["8000"], "/readyz", 503),  # up, and no project has a champion yet
        "schedule": (stack["ports"]["3000"], "/server_info", 200),
    }
    services_of = stack["compose"]["services"]
    with ExitStack() as running:
        logs = {name: stack["folder"] / f"{name}.log" for name in OURS}
        started = {
            name: running.enter_context(
                process(services_of[name]["command"].split(), system | services_of[name]["environment"], logs[name])
            )
            for name in OURS
        }
        for name, (port, path, status) in expected.items():

            def is_up(name=name, port=port, path=path, status=status) -> bool:
                assert started[name].poll() is None, f"{name}: {logs[name].read_text(errors='replace')[-2000:]}"
                return answer(port, path)[0] == status

            wait_until(is_up, name)
        assert "projects" in json.loads(answer(stack["ports"]["8000"], "/readyz")[1])
