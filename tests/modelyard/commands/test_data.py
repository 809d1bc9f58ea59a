import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from modelyard.commands.data import data
from modelyard.errors import ConfigurationError, FetchError
from modelyard.public_data import catalogue as catalogue_module
from tests.modelyard.public_data.public_data_server import toy_dataset

CONTENT = {"a.csv": b"a,b\n1,2\n", "deep/b.csv": b"b" * 1000}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A catalogue with the sets ``toy`` and ``second``, and a mirror that has toy; returns toy's place on the disk."""
    path = tmp_path / "public_data.yml"
    fields = toy_dataset("http://127.0.0.1:9", CONTENT).model_dump(mode="json", exclude={"name"})
    fields["licence_note"] = "Do what you like"
    path.write_text(yaml.safe_dump({"toy": fields, "second": fields | {"title": "Another"}}))
    monkeypatch.setattr(catalogue_module, "catalogue_path", lambda: path)
    for name, content in CONTENT.items():
        (tmp_path / "mirror" / "toy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror" / "toy" / name).write_bytes(content)
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("MODELYARD_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "01_raw" / "toy"


def run(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(data, arguments)
    assert result.exit_code == exit_code, result.output
    return result.output


def test_list_says_what_there_is_and_what_is_here(folder):
    assert "toy     A toy" in run("list")
    assert "CC0-1.0" in run("list")
    assert "toy_project" in run("list")
    run("fetch", "toy")
    here = {line.split()[0]: line.split()[-1] for line in run("list").splitlines()}
    assert here == {"name": "here", "toy": "yes", "second": "no"}
    (folder / "a.csv").unlink()
    assert "in part" in run("list")


def test_fetch_shows_licence_and_citation_before_it_fetches(folder):
    said = run("fetch", "toy", "--quiet")
    assert said.index("CC0-1.0. Do what you like") < said.index("Nobody (2024)") < said.index(str(folder))
    assert "2 files" in said
    assert (folder / "deep" / "b.csv").read_bytes() == CONTENT["deep/b.csv"]


def test_a_licence_is_shown_even_if_the_fetch_then_fails(folder, monkeypatch):
    monkeypatch.setattr("modelyard.public_data.download._PAUSES_S", ())
    said = run("fetch", "second", exit_code=FetchError.exit_code)
    assert said.index("CC0-1.0") < said.index("no connection")
    assert "`kedro data fetch second`" in said
    assert "Traceback" not in said


def test_an_unknown_name_stops_before_anything_is_fetched(folder):
    said = run("fetch", "toy", "secnd", exit_code=ConfigurationError.exit_code)
    assert "Did you mean 'second'" in said
    assert not folder.exists()


@pytest.mark.parametrize("command", ["fetch", "verify"])
@pytest.mark.parametrize("arguments", [[], ["toy", "--all"]])
def test_neither_nothing_nor_both_can_be_asked_for(folder, command, arguments):
    assert "kedro data list" in run(command, *arguments, exit_code=2)


def test_all_is_every_data_set(folder, tmp_path):
    (tmp_path / "mirror" / "second").symlink_to(tmp_path / "mirror" / "toy")
    said = run("fetch", "--all")
    assert "A toy" in said
    assert "Another" in said
    assert "second: verified" in run("verify", "--all")


def test_verify_reads_again_says_what_is_wrong_and_fails(folder):
    run("fetch", "toy")
    assert "toy: verified: 2 files" in run("verify", "toy")
    (folder / "a.csv").write_bytes(b"a,b\n1,3\n")
    said = run("verify", "toy", exit_code=FetchError.exit_code)
    assert "toy: wrong: a.csv: changed: sha256 is" in said
    assert "`kedro data fetch toy`" in said
    assert "Traceback" not in said
    run("fetch", "toy")
    assert "toy: verified" in run("verify", "toy")


def test_a_set_that_is_not_here_fails_when_it_is_named_and_only_then(folder):
    assert "toy: not fetched" in run("verify", "toy", exit_code=FetchError.exit_code)
    assert "toy: not fetched" in run("verify", "--all")


def test_the_commands_module_is_cheap_to_import():
    code = (
        "import sys; import modelyard.commands.data\n"
        "heavy = {'polars', 'numpy', 'pandas', 'httpx', 'rich', 'yaml', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
