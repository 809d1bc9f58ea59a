import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modelyard.errors import ConfigurationError
from modelyard.project import FitRun
from modelyard.training.resume import digest_of, load_state, run_steps, save_state

_EVOLUTION = """
import os, signal, sys
from pathlib import Path
import numpy as np
from modelyard.project import FitRun
from modelyard.training.resume import run_steps

def advance(step, state):
    state["best"] = state["best"] + state["generator"].normal(size=3)
    if step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return float(state["best"].sum())

run = FitRun(seed=3, folder=Path(sys.argv[1]), report=lambda step, value: print(step, value), n_threads=1)
first = {"best": np.zeros(3), "generator": np.random.default_rng(run.seed)}
state = run_steps(advance, first, 10, run=run, fingerprint="one", every=2)
assert "torch" not in sys.modules, "a loop without networks does not load torch"
print(state["best"].tobytes().hex(), state["generator"].random())
"""


def evolve(folder: Path, dies_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _EVOLUTION, str(folder), str(dies_at)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_killed_loop_continues_with_the_same_bits(tmp_path: Path) -> None:
    killed = evolve(tmp_path / "killed", 8)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["step_0004", "step_0006"]
    resumed, whole = evolve(tmp_path / "killed", 0), evolve(tmp_path / "whole", 0)
    assert (resumed.returncode, resumed.stdout) == (0, whole.stdout), resumed.stderr
    assert len(whole.stdout.splitlines()) == 11
    assert evolve(tmp_path / "killed", 0).stdout == whole.stdout


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {
        "arrays": [np.arange(6, dtype=np.uint8).reshape(2, 3).T, np.zeros((0, 4)), np.float32(0.1), np.array(7)],
        "nested": {"text": "Moll", "none": None, "pair": (1, 2.5), 3: True, "$odd": -1, "nan": float("nan")},
        "raw": b"\x00\xff",
        "bfloat16": torch.arange(3).to(torch.bfloat16),
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": np.random.default_rng(4),
    }
    save_state(tmp_path, 3, state, fingerprint="f")
    found = load_state(tmp_path, fingerprint="f")
    assert found is not None
    step, loaded = found
    assert step == 3
    assert digest_of(loaded) == digest_of(state)
    for one, other in zip(loaded["arrays"], state["arrays"], strict=True):
        np.testing.assert_array_equal(one, other)
        assert (type(one), one.dtype) == (type(other), other.dtype)
    assert (loaded["nested"]["pair"], loaded["nested"][3], loaded["raw"]) == ((1, 2.5), True, b"\x00\xff")
    assert loaded["bfloat16"].dtype == torch.bfloat16
    assert loaded["generator"].random() == np.random.default_rng(4).random()
    optimizer.load_state_dict(loaded["optimizer"])
    network.load_state_dict(loaded["network"])


def test_what_cannot_be_kept_is_named(tmp_path: Path) -> None:
    for odd in (nn.Linear(1, 1), {1, 2}, np.array(["a"])):
        with pytest.raises(ConfigurationError, match=r"state\.population\.0 is a .* without pickle"):
            save_state(tmp_path, 1, {"population": [odd]}, fingerprint="f")
    assert list(tmp_path.iterdir()) == []


def test_other_and_damaged_states_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (1, 2, 3):
        save_state(tmp_path, step, {"x": np.full(9, step)}, fingerprint="f")
    assert load_state(tmp_path, fingerprint="another") is None
    damaged = tmp_path / "step_0003" / "arrays.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-3] + b"abc")
    found: Any = load_state(tmp_path, fingerprint="f")
    assert (found[0], found[1]["x"].tolist()) == (2, [2] * 9)
    assert "step_0003 is left out (it is damaged" in caplog.text
    state = json.loads((tmp_path / "step_0002" / "state.json").read_text())
    (tmp_path / "step_0002" / "state.json").write_text(json.dumps(state | {"state": {"$array": "gone"}}))
    assert load_state(tmp_path, fingerprint="f") is None


def test_what_report_raises_passes_and_is_reported_again(tmp_path: Path) -> None:
    reports: list[int] = []

    def report(step: int, value: float) -> None:
        reports.append(step)
        if reports == [1, 2]:
            raise InterruptedError

    def advance(step: int, state: dict[str, Any]) -> float:
        state["n"] += 1
        return 0.0

    run = FitRun(seed=0, folder=tmp_path, report=report, n_threads=1)
    with pytest.raises(InterruptedError):
        run_steps(advance, {"n": 0}, 3, run=run, fingerprint="f")
    assert run_steps(advance, {"n": 0}, 3, run=run, fingerprint="f") == {"n": 3}
    assert reports == [1, 2, 1, 2, 3]
