"""What the training loop does on a GPU: one script of at most eight minutes for a machine that has little but CUDA.

    python benchmarks/gpu.py prepare medical_image_analysis .gpu    # here, where all of the environment is
    python benchmarks/gpu.py measure [.gpu] [--small]               # there: repository, .gpu and a few wheels

There it needs torch, accelerate (with what that needs), pydantic, and for the project polars. It prints

1. samples/s of the loop beside a hand-written one (MLP, CNN, ResNet-9, GRU, transformer), in float32 and bfloat16;
2. a fit that is killed with SIGKILL and resumed, beside one that is not;
3. one public project from its examples to its test metrics, in float32 and bfloat16.

Each part starts only if enough of the eight minutes is left. ``--small`` runs all of it in seconds, on a CPU too.
``prepare`` takes the examples that ``kedro run --pipeline=<project> --env=benchmark`` has left in the data folder.
"""

import argparse
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modelyard.parameters import parameters_of
from modelyard.project import FitRun, Precision
from modelyard.training.devices import find_device, has_bfloat16
from modelyard.training.loop import TrainingResult, train
from modelyard.training.parameters import LoopParameters
from modelyard.training.randomness import seeded

LIMIT_S = 480
TRAINING = runpy.run_path(str(Path(__file__).with_name("training.py")))
"""The networks and the hand-written loop."""


def prepare(project: str, folder: Path) -> None:
    """Writes examples with their media, and the parameters of the fit, as files that polars and pydantic read."""
    # The other machine does not have what these need.
    import yaml  # noqa: PLC0415

    from modelyard.catalog.tables import ArrowTable, ParquetTable  # noqa: PLC0415
    from modelyard.paths import data_directory, repository  # noqa: PLC0415
    from modelyard.projects import load_project  # noqa: PLC0415
    from modelyard.stages.media import with_media  # noqa: PLC0415

    data, contract = data_directory(), load_project(project).contract
    examples = ParquetTable(filepath=str(data / "05_model_input" / project / "examples.parquet")).load()
    media = ArrowTable(filepath=str(data / "01_raw" / project / "media.arrow")).load()
    folder.mkdir(parents=True, exist_ok=True)
    with_media(examples, media, contract).write_parquet(folder / "examples.parquet")
    values = yaml.safe_load((repository() / "conf" / "benchmark" / project / "parameters.yml").read_text())[project]
    about = {"project": project, "target": contract.target, "fit": values.get("fit", {})}
    (folder / "about.json").write_text(json.dumps(about))


def compare_loops(rounds: int, *, is_small: bool) -> None:
    """Prints the table of ``training.py`` for all of its networks."""
    device = find_device()
    loops = {"ours": TRAINING["ours"], "by hand": TRAINING["by_hand"]}
    for title, task in TRAINING["TASKS"].items():
        print(title, flush=True)
        shorter = TRAINING["smaller"](task) if is_small else task
        for precision in ("float32", "bfloat16") if is_small or has_bfloat16(device) else ("float32",):
            TRAINING["measure"](shorter, loops, rounds, TRAINING["Setting"](device, precision))


def kill_and_resume(*, is_small: bool) -> None:
    """Prints whether a fit that was killed ends where one ends that was not."""
    with tempfile.TemporaryDirectory() as temporary:
        killed = Path(temporary) / "killed"
        size = ["--small"] if is_small else []
        victim = subprocess.run([sys.executable, __file__, "victim", str(killed), *size], check=False)
        assert victim.returncode == -signal.SIGKILL, f"the fit was to be killed and returned {victim.returncode}"
        resumed = _fit(killed, is_small=is_small)
        whole = _fit(Path(temporary) / "whole", is_small=is_small)
    pairs = zip(resumed.network.parameters(), whole.network.parameters(), strict=True)
    distance = max(float((one - other).abs().max()) for one, other in pairs)
    print(
        f"killed after epoch 2 of {len(whole.history)} and resumed: loss {resumed.history[-1].train_loss:.6f}, ", end=""
    )
    print(f"in one go {whole.history[-1].train_loss:.6f}; largest difference of a weight {distance:.3g}", flush=True)


def _fit(folder: Path, *, is_small: bool, dies_after: int = 0) -> TrainingResult[nn.Module]:
    def report(epoch: int, value: float) -> None:
        if epoch == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)

    with seeded(0):
        network = TRAINING["TASKS"]["CNN 3x32x32, 2 conv"].build()
        x = torch.randn(256 if is_small else 50_000, 3, 32, 32)
    run = FitRun(seed=1, folder=folder, report=report, n_threads=torch.get_num_threads())
    params = LoopParameters(epochs=4 if is_small else 6, batch_size=128)
    arrays = {"x": x, "y": (x[:, 0, 0, 0] > 0).float()}
    return train(network, arrays, TRAINING["loss_of"], params, run=run, evaluate=lambda net: 0.0)


def fit_project(folder: Path, precision: Precision) -> None:
    """Prints how long a project's fit takes, and its metrics on the test rows."""
    import polars as pl  # noqa: PLC0415  # the loop alone does not need it

    about: dict[str, Any] = json.loads((folder / "about.json").read_text())
    fit, evaluation = _room(about["project"], "train").fit, _room(about["project"], "evaluate")
    examples = pl.read_parquet(folder / "examples.parquet")
    test = examples.filter(pl.col("split") == "test")
    n_epochs = []
    with tempfile.TemporaryDirectory() as temporary:
        run = FitRun(
            seed=0,
            folder=Path(temporary),
            report=lambda step, value: n_epochs.append(step),
            n_threads=os.cpu_count() or 1,
            precision=precision,
        )
        started = time.perf_counter()
        model = fit(examples.filter(pl.col("split") != "test"), parameters_of(fit)(**about["fit"]), run)
        seconds = time.perf_counter() - started
    started = time.perf_counter()
    predictions = evaluation.predict(model, test.drop(about["target"]) if about["target"] else test)
    predicted_s = time.perf_counter() - started
    metrics = evaluation.score(test.hstack(predictions), parameters_of(evaluation.score)())
    print(f"{about['project']} in {precision}: {len(n_epochs)} reports in {seconds:.1f} s, ", end="")
    print(f"{test.height} test rows predicted in {predicted_s:.2f} s")
    print("  " + ", ".join(f"{name} {value:.4f}" for name, value in list(metrics.items())[:7]), flush=True)


def _room(project: str, name: str) -> Any:
    """Returns one module of a project, without the package's own, which wires it for Kedro."""
    package = types.ModuleType(f"pipelines.{project}")
    package.__path__ = [str(Path(__file__).resolve().parents[1] / "pipelines" / project)]
    sys.modules.setdefault(package.__name__, package)
    return importlib.import_module(f"{package.__name__}.{name}")


def measure(folder: Path | None, *, is_small: bool) -> None:
    """Runs the parts one after the other while time is left."""
    started = time.monotonic()
    device = find_device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {name}, bfloat16 in hardware: {'yes' if has_bfloat16(device) else 'no'}")
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    parts: list[tuple[str, float, Any]] = [
        ("kill and resume", 60, lambda: kill_and_resume(is_small=is_small)),
        ("loops", 240, lambda: compare_loops(1 if is_small else 3, is_small=is_small)),
    ]
    if folder is not None:
        parts += [(f"project in {one}", 90, lambda one=one: fit_project(folder, one)) for one in precisions]
    for title, needed_s, part in parts:
        passed = time.monotonic() - started
        if passed + needed_s > LIMIT_S:
            print(f"{title}: left out, {passed:.0f} of {LIMIT_S} s have passed")
            continue
        part()
        print(f"[{title}: {time.monotonic() - started - passed:.0f} s]", flush=True)


def main() -> None:
    """Reads the command and runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare")
    one.add_argument("project")
    one.add_argument("folder", type=Path)
    for name, number in (("measure", "?"), ("victim", None)):
        one = commands.add_parser(name)
        one.add_argument("folder", type=Path, nargs=number)
        one.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if options.command == "prepare":
        prepare(options.project, options.folder)
    elif options.command == "victim":
        _fit(options.folder, is_small=options.small, dies_after=2)
    else:
        measure(options.folder, is_small=options.small)


if __name__ == "__main__":
    main()
