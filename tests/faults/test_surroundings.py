"""What a run meets on a bad day: another run, a wrong word, a damaged file, no network, a read-only folder."""

import os
import subprocess
import sys

import polars as pl
import pytest


def test_a_second_run_of_the_same_project_waits_and_says_so(start_run, registered):
    first = start_run()
    first.wait_for("▸ fraud_detection.ingest")
    second = start_run("--to-nodes=fraud_detection.ingest")
    second.wait_for("another run of fraud_detection is under way; waiting")
    assert first.end() == 0, first.said
    assert second.end() == 0, second.said
    assert registered() == ["1"]


def test_a_second_run_that_waits_too_long_ends_with_one_message(start_run):
    first = start_run()
    first.wait_for("▸ fraud_detection.ingest")
    second = start_run(MODELYARD_LOCK_WAIT_S="1")
    assert second.end() == 5
    assert "Another run of fraud_detection has not ended after 1 s." in second.said
    assert "Traceback" not in second.said
    first.kill()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("fraud_detection.tune.n_trails=3", "unknown parameter 'n_trails'; did you mean 'n_trials'"),
        ("fraud_detection.tunne.n_trials=3", "Unknown parameter 'tunne'. Did you mean 'tune'?"),
        ("fraud_detektion.tune.n_trials=3", "Unknown parameter 'fraud_detektion'. Did you mean 'fraud_detection'?"),
        ("fraud_detection.tune.n_trials=many", "n_trials"),
        ("fraud_detection.tune.n_trials=-1", "n_trials"),
    ],
)
def test_a_wrong_parameter_is_said_before_anything_runs(start_run, params, words):
    run = start_run(f"--params={params}")
    assert run.end() == 2
    assert words in run.said
    assert "▸" not in run.said
    assert "Traceback" not in run.said


def test_a_damaged_tracking_database_is_said_before_anything_runs(start_run, tmp_path):
    database = tmp_path / "data" / "mlflow.db"
    database.write_bytes(b"x" * 4096 + database.read_bytes()[4096:])
    run = start_run("--to-nodes=fraud_detection.ingest")
    assert run.end() == 6
    assert "MLflow's database is damaged: file is not a database." in run.said
    assert "way out: put a backup in its place" in run.said
    assert "▸" not in run.said
    assert "Traceback" not in run.said


def test_a_truncated_own_file_ends_the_run_with_one_message(start_run, tmp_path):
    path = tmp_path / "cards.parquet"
    pl.DataFrame({"transaction_id": range(1000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    own = f"--params=fraud_detection.ingest.source=own,fraud_detection.ingest.path={path}"
    run = start_run(own, "--to-nodes=fraud_detection.ingest")
    assert run.end() == 3
    assert f"Error: The Parquet file is truncated: its end is missing.\n  where:   {path}\n" in run.said
    assert "way out: copy or write it again" in run.said
    assert "Traceback" not in run.said


@pytest.mark.parametrize("content", [None, b"not the published bytes"], ids=["no mirror", "a wrong file in the mirror"])
def test_public_data_that_cannot_be_had_end_the_run_with_one_message(start_run, tmp_path, content):
    nobody = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")
    mirror = tmp_path / "mirror" / "fraud_handbook_transactions"
    mirror.mkdir(parents=True)
    if content:
        (mirror / "transactions_2018-07-25_2018-08-14.zip").write_bytes(content)
    public = "--params=fraud_detection.ingest.source=public"
    given = {"MODELYARD_DATA_MIRROR": str(mirror.parent) if content else ""}
    run = start_run(public, "--to-nodes=fraud_detection.ingest", **nobody, **given)
    assert run.end() == 4
    assert "no connection to the server" in run.said
    assert ("these are not the published bytes" in run.said) == bool(content)
    assert "where:   https://raw.githubusercontent.com/Fraud-Detection-Handbook/" in run.said
    assert "way out: check the network, or set MODELYARD_DATA_MIRROR" in run.said
    assert "Traceback" not in run.said
    assert not list((tmp_path / "data").rglob("*.pkl*"))


@pytest.mark.parametrize("content", [b"", b"PAR1 and then the power went"], ids=["empty", "half"])
def test_a_damaged_table_of_an_earlier_stage_is_one_message(start_run, tmp_path, content):
    path = tmp_path / "data" / "05_model_input" / "fraud_detection" / "examples.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    run = start_run("--from-nodes=fraud_detection.train", "--to-nodes=fraud_detection.train")
    assert run.end() == 6
    assert "Error: The stored table cannot be read" in run.said
    assert f"where:   {path}" in run.said
    assert "way out: delete the file and run the whole pipeline again" in run.said
    assert "Traceback" not in run.said


def test_a_read_only_data_folder_is_one_message(tmp_path):
    if os.getuid() != 0:
        pytest.skip("giving up the right to write needs root, who may write anywhere")
    data = tmp_path / "read_only"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(data)], check=True)
    try:
        command = [sys.executable, "-m", "kedro", "run", "--pipeline=fraud_detection", "--env=ci"]
        environment = os.environ | {"MODELYARD_DATA_DIR": str(data)}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["umount", str(data)], check=True)
    assert ended.returncode == 6
    assert "cannot be written to" in ended.stderr
    assert "Traceback" not in ended.stderr
