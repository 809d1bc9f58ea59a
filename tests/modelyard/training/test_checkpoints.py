import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from modelyard.errors import StorageError


class StoppedError(Exception):
    pass


def stop_after(epoch: int) -> Callable[[int, float], None]:
    def report(number: int, value: float) -> None:
        if number == epoch:
            raise StoppedError

    return report


def bits(network: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def stopped(toy: SimpleNamespace, tmp_path: Path) -> Path:
    with pytest.raises(StoppedError):
        toy.fit(checkpoints=tmp_path, report=stop_after(4))
    return tmp_path


def test_killed_run_continues_with_the_same_bits(toy: SimpleNamespace, toy_path: Path, tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, toy_path, "kill", tmp_path, "3"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert names(tmp_path) == ["epoch_0002", "epoch_0003"]
    evaluated, reported = [], []

    def evaluate(network: nn.Module) -> float:
        evaluated.append(1)
        return float(toy.accuracy(network))

    resumed = toy.fit(checkpoints=tmp_path, evaluate=evaluate, report=lambda epoch, value: reported.append(epoch))
    whole = toy.fit()
    assert len(evaluated) == 3
    assert reported == [1, 2, 3, 4, 5, 6]
    assert bits(resumed.network) == bits(whole.network)
    assert [(e.train_loss, e.value) for e in resumed.history] == [(e.train_loss, e.value) for e in whole.history]


def test_finished_run_is_not_trained_again(toy: SimpleNamespace, tmp_path: Path) -> None:
    scores = iter([1.0, 3.0, 2.0, 1.0])
    params = toy.PARAMS.model_copy(update={"patience": 2})
    first = toy.fit(params, checkpoints=tmp_path, evaluate=lambda network: next(scores))
    again = toy.fit(params, checkpoints=tmp_path, evaluate=lambda network: pytest.fail("trained again"))
    assert again.history == first.history
    assert again.best_epoch == 2
    assert bits(again.network) == bits(first.network)


def damage_tensors(epoch: Path) -> None:
    file = epoch / "arrays.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def flip_one_bit(epoch: Path) -> None:
    content = bytearray((epoch / "arrays.safetensors").read_bytes())
    content[-5] ^= 1
    (epoch / "arrays.safetensors").write_bytes(content)


def damage_state(epoch: Path) -> None:
    (epoch / "state.json").write_text('{"format": 1, "fing')


def lose_tensors(epoch: Path) -> None:
    (epoch / "arrays.safetensors").unlink()


@pytest.mark.parametrize("damage", [damage_tensors, flip_one_bit, damage_state, lose_tensors])
def test_damaged_checkpoint_is_left_out(
    toy: SimpleNamespace, stopped: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(stopped / "epoch_0004")
    caplog.set_level(logging.INFO, "modelyard.training")
    resumed = toy.fit(checkpoints=stopped)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "epoch_0004 is left out" in warnings[0]
    assert any(f"Continuing after epoch 3, found in {stopped}" in record.getMessage() for record in caplog.records)
    assert bits(resumed.network) == bits(toy.fit().network)


def test_all_damaged_starts_from_the_beginning(toy: SimpleNamespace, stopped: Path) -> None:
    damage_tensors(stopped / "epoch_0003")
    damage_state(stopped / "epoch_0004")
    assert bits(toy.fit(checkpoints=stopped).network) == bits(toy.fit().network)


def test_another_run_s_checkpoint_is_not_continued(
    toy: SimpleNamespace, stopped: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = toy.fit(checkpoints=stopped, arrays=toy.rows(8))
    assert "other data, parameters or another network" in caplog.text
    assert bits(other.network) == bits(toy.fit(arrays=toy.rows(8)).network)
    shorter = toy.PARAMS.model_copy(update={"epochs": 2})
    assert len(toy.fit(shorter, checkpoints=stopped).history) == 2
    assert names(stopped) == ["epoch_0001", "epoch_0002"]


def test_half_written_remains_are_cleared(toy: SimpleNamespace, stopped: Path) -> None:
    shutil.copytree(stopped / "epoch_0004", stopped / ".epoch_0005.abc.part")
    toy.fit(checkpoints=stopped)
    assert names(stopped) == ["epoch_0005", "epoch_0006"]


def test_full_disk_keeps_the_checkpoint_before(
    toy: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full_from_epoch_3(self: Path, content: bytes) -> int:
        if "epoch_0003" in str(self):
            write(self, content[:50])
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full_from_epoch_3)
    with pytest.raises(StorageError, match="disk is full"):
        toy.fit(checkpoints=tmp_path)
    assert names(tmp_path) == ["epoch_0001", "epoch_0002"]
    monkeypatch.undo()
    assert bits(toy.fit(checkpoints=tmp_path).network) == bits(toy.fit().network)
