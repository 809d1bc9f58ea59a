"""What only shows in a process of its own: the imports, and several processes training together."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

_HANGS_AFTER_S = 600
_ABSENT = "polars mlflow kedro rich pandas sklearn optuna duckdb feast great_expectations xgboost matplotlib"

_BARE = f"""
import sys
for name in {_ABSENT!r}.split():
    sys.modules[name] = None
import modelyard.training.parameters
assert "torch" not in sys.modules and "numpy" not in sys.modules, "the parameters alone must stay light"
import runpy
toy = runpy.run_path(sys.argv[1])
result = toy["fit"](checkpoints=__import__("pathlib").Path(sys.argv[2]))
assert "torch._dynamo" not in sys.modules, "nothing is compiled"
import torch
torch.compile(torch.sin)  # the compiler is still to be had
assert "torch._dynamo.eval_frame" in sys.modules
print(result.best_epoch)
"""


def test_runs_with_torch_accelerate_numpy_safetensors_and_pydantic_only(toy_path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _BARE, str(toy_path), str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) >= 1


def test_two_processes_train_one_network(toy: SimpleNamespace, toy_path: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, toy_path, "process", tmp_path / "checkpoints", tmp_path / f"{rank}.safetensors"],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=_HANGS_AFTER_S)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors
    first, second = load_file(tmp_path / "0.safetensors"), load_file(tmp_path / "1.safetensors")
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["epoch_0005", "epoch_0006"]
    alone = toy.fit(**toy.even())
    for name, tensor in alone.network.state_dict().items():
        np.testing.assert_array_equal(first[name], second[name])
        assert first[name] == pytest.approx(tensor.numpy(), abs=1e-5)
