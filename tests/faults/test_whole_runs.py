"""Whole runs, disturbed: repeated, killed, locked out, out of space. Each ends where an undisturbed run does."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from modelyard.files import sha256_of_directory

MEBIBYTE = 1 << 20


def results(data: Path) -> tuple[str, str]:
    """A run's metrics document, to the byte, and the digest of its model's files."""
    metrics = (data / "08_reporting" / "fraud_detection" / "metrics.json").read_text()
    return metrics, sha256_of_directory(data / "06_models" / "fraud_detection" / "tuned")


def half_files(data: Path) -> list[Path]:
    return [path for path in data.rglob("*") if path.suffix in (".part", ".old")]


def test_a_second_run_finds_the_version_that_the_first_one_registered(start_run, registered, undisturbed):
    before = results(undisturbed)
    run = start_run(data=undisturbed)
    assert run.end() == 0, run.said
    assert "the same model as before, registered already as fraud_detection version 1" in " ".join(run.said.split())
    assert registered(undisturbed) == ["1"]
    assert results(undisturbed) == before


def test_killed_in_every_stage_a_re_run_ends_where_an_undisturbed_run_does(
    start_run, registered, undisturbed, tmp_path
):
    def kill(stage, moment=None, first="ingest"):
        """kill -9 in the stage: at the moment (what the run says then), else as soon as it has begun."""
        run = start_run(f"--from-nodes=fraud_detection.{first}")
        run.wait_for(f"▸ fraud_detection.{stage}")
        run.wait_until(moment, f"the middle of {stage}") if moment else time.sleep(0.3)
        run.kill()
        return run

    data = tmp_path / "data"
    work = data / "06_models" / "fraud_detection" / "work"
    for stage in ("ingest", "validate", "accept"):
        kill(stage)
    for stage in ("derive_features", "featurize"):
        kill(stage, first="accept")
    kill("train", moment=lambda: list(work.glob("train/*/booster/step_*/state.json")), first="accept")
    in_a_trial = kill("tune", moment=lambda: list(work.glob("tune/*/trial_*/**/state.json")), first="train")
    assert "trees: continuing after " in in_a_trial.said
    kill("evaluate", first="train")
    kill("register", first="evaluate")
    run = start_run()
    assert run.end() == 0, run.said
    assert registered() == ["1"]
    assert results(data) == results(undisturbed)
    assert half_files(data / "08_reporting") == []


def copied(source: Path, target: Path) -> None:
    """What a run made up to tuning; nothing of MLflow's."""
    for layer in source.glob("0?_*"):
        if layer.name not in ("07_model_output", "08_reporting"):
            shutil.copytree(layer, target / layer.name, dirs_exist_ok=True)


@contextlib.contextmanager
def locked(database: Path):
    connection = sqlite3.connect(database, isolation_level=None, timeout=60)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


def test_a_locked_tracking_database_is_waited_for_and_then_told_in_one_message(
    start_run, registered, undisturbed, tmp_path
):
    data = tmp_path / "data"
    copied(undisturbed, data)
    with locked(data / "mlflow.db"):
        run = start_run("--from-nodes=fraud_detection.evaluate")
        assert run.end() == 5, run.said
    assert run.said.count("Another process has locked MLflow's database for 20 s.") == 1
    assert str(data / "mlflow.db") in run.said
    assert "way out: end that process" in run.said
    assert "Traceback" not in run.said
    with locked(data / "mlflow.db"):
        run = start_run("--from-nodes=fraud_detection.evaluate")
        run.wait_for("▸ fraud_detection.evaluate")
        time.sleep(8)  # longer than the five seconds that MLflow has by itself
    run.wait_for("▸ fraud_detection.register")
    with locked(data / "mlflow.db"):
        time.sleep(6)
    assert run.end() == 0, run.said
    assert registered() == ["1"]
    assert results(data) == results(undisturbed)


@pytest.fixture
def small_disk(tmp_path, undisturbed):
    """A disk of its own for the data, with a database that has been migrated."""
    if os.getuid() != 0:
        pytest.skip("making a small disk (mount -t tmpfs) needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"this machine lets nobody mount a small disk: {made.stderr.strip()}")
    shutil.copy(tmp_path / "data" / "mlflow.db", disk)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Leaves not one block of the disk free."""
    filler = disk / "somebody_elses_file"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


def test_a_full_disk_is_one_message_and_a_re_run_completes_once_there_is_space(
    start_run, registered, undisturbed, small_disk
):
    for first, stage in (("ingest", "derive_features"), ("accept", "train"), ("train", "tune"), ("tune", "register")):
        run = start_run(f"--from-nodes=fraud_detection.{first}", data=small_disk)
        run.wait_for(f"▸ fraud_detection.{stage}")
        filler = fill(small_disk)
        assert run.end() == 6, f"{stage}:\n{run.said}"
        assert run.said.count("Error: ") == 1
        assert "full" in run.said
        assert str(small_disk) in run.said
        assert "way out: free space" in run.said
        assert "Traceback" not in run.said
        assert half_files(small_disk) == []
        filler.unlink()
    run = start_run("--from-nodes=fraud_detection.tune", data=small_disk)
    assert run.end() == 0, run.said
    assert registered(small_disk) == ["1"]
    assert results(small_disk) == results(undisturbed)
