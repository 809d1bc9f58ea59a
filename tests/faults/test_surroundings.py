"""What a run meets on a bad day: another run, a locked database, a full disk, a read-only folder, a wrong word."""

import os
import subprocess
import sys

import pytest


def test_a_second_run_of_the_same_project_waits_and_says_so(start_run, registered):
    first = start_run()
    first.wait_for("▸ fraud_detection.ingest")
    second = start_run()
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
