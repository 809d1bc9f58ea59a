"""Threads of a fit wait shortly for each other in every process, unless its user has said otherwise."""

import os
import subprocess
import sys

import pytest

_TRIES = ("import modelyard", "import modelyard.tuning.worker", "import pipelines.fraud_detection.pipeline")


def _found(program: str, **chosen: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    command = [sys.executable, "-c", f"import os, sys; {program}; print(os.environ.get('GOMP_SPINCOUNT'))"]
    return subprocess.run(command, env=environment | chosen, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("program", _TRIES)
def test_every_process_waits_shortly(program):
    assert _found(program) == "1000"


def test_what_the_user_has_chosen_stays():
    assert _found("import modelyard", GOMP_SPINCOUNT="7") == "7"
    assert _found("import modelyard", OMP_WAIT_POLICY="active") == "None"


def test_the_choice_is_made_before_torch_is_loaded():
    program = "import modelyard.cli, modelyard.settings; assert 'torch' not in sys.modules"
    assert _found(program) == "1000"
