"""What grows with the number of projects: copies of this repository with today's projects and with 29.

    python benchmarks/scale.py [--projects 29] [--runs 5] [--idle-s 120] [--only "dvc repro"]

The missing projects are what ``kedro new-project`` makes. In turn in both copies: ``kedro registry list``, ``kedro
run`` of two trivial nodes, ``dvc repro`` with nothing to do (its outputs are files of one line, which DVC looks at as
it would at others). Then, in the larger one, ``kedro up`` with nobody asking for anything: the share of one core that
each server takes. Processor time is printed beside the wall clock, since a busy machine stretches only the latter.
"""

import argparse
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml
from side_by_side import Command, seconds
from startup import PIPELINE

from modelyard.commands.new_project import scaffold
from modelyard.projects import project_names

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
KEDRO = (sys.executable, "-m", "kedro")
PORTS = ("--mlflow-port", "5790", "--serve-port", "8790", "--dagster-port", "3790")
SETTLE_S = 60


def main() -> None:
    """Measures all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, default=29)
    parser.add_argument("--runs", type=int, default=5, help="Times that each command is measured; 0: none.")
    parser.add_argument("--idle-s", type=float, default=120, help="Length of the look at idle servers; 0: none.")
    parser.add_argument("--only", default="", help="a part of the names of the commands to measure")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # where bytecode is not kept, every start compiles all it imports
    n_today = len(project_names())
    with tempfile.TemporaryDirectory() as temporary:
        large = repository_with(Path(temporary) / "large", arguments.projects)
        if arguments.runs:
            small = repository_with(Path(temporary) / "small", n_today)
            folders = {f"{n_today} projects": small, f"{arguments.projects} projects": large}
            show_commands(folders, arguments.runs, arguments.only)
        if arguments.idle_s:
            show_idle(large, arguments.idle_s)


def show_commands(folders: Mapping[str, Path], n_runs: int, only: str) -> None:
    """Prints how long each command takes in each of the copies."""
    for what, command, goal in (
        ("kedro registry list", (*KEDRO, "registry", "list"), "no growth"),
        ("kedro run of two trivial nodes", (*KEDRO, "run", "--pipeline=two_nodes"), "no growth"),
        ("dvc repro with nothing to do", (str(BIN / "dvc"), "repro"), "at most 4 s"),
    ):
        if only not in what:
            continue
        print(what)
        contestants = [Command(name, command, folder, environment(folder)) for name, folder in folders.items()]
        show_times(contestants, n_runs, goal)


def show_times(contestants: Sequence[Command], n_runs: int, goal: str) -> None:
    """Runs the commands in turn after a warm-up each, and prints the medians of wall clock and processor time."""
    measured: dict[str, list[tuple[float, float]]] = {command.name: [] for command in contestants}
    for turn in range(n_runs + 1):
        for command in contestants:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            wall = seconds(command)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if turn:
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                measured[command.name].append((wall, used))
    for name, pairs in measured.items():
        wall, used = (statistics.median(values) for values in zip(*pairs, strict=True))
        print(f"  {name:<58} {wall:7.2f} s, {used:.2f} s of a processor")
    print(f"  (goal {goal}; {n_runs} times in turn, medians)\n")


def environment(folder: Path) -> dict[str, str]:
    """Returns what makes a copy's modules win over the installed ones."""
    return {
        "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(folder), os.environ.get("PYTHONPATH", "")]),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "MODELYARD_DATA_DIR": str(folder / "data"),
    }


def repository_with(root: Path, n_projects: int) -> Path:
    """Makes a copy of this repository with ``n_projects`` projects, all of which DVC believes to have run."""
    for shelf in ("src", "pipelines", "conf", ".dvc", "mlflow"):
        shutil.copytree(ROOT / shelf, root / shelf, ignore=shutil.ignore_patterns("__pycache__", "tmp", "cache"))
    for file in ("dvc.yaml", ".dvcignore", ".gitignore", "pyproject.toml", "requirements.lock", "README.md"):
        shutil.copy(ROOT / file, root)
    for number in range(n_projects - len(project_names())):
        scaffold(f"simulated_{chr(ord('a') + number)}", f"Simulated {number}", root)
    room = root / "pipelines" / "two_nodes"
    room.mkdir()
    (room / "__init__.py").write_text("from pipelines.two_nodes.pipeline import create_pipeline\n")
    (room / "pipeline.py").write_text(PIPELINE)
    write_outputs(root)
    for command in (
        ("git", "init", "--quiet"),
        (sys.executable, "-m", "modelyard.lineage.stage_code"),
        (str(BIN / "dvc"), "commit", "--force", "--quiet", "dvc.yaml"),
    ):
        subprocess.run(command, cwd=root, env=os.environ | environment(root), check=True)
    return root


def write_outputs(root: Path) -> None:
    """Writes every output that dvc.yaml names."""
    for stage in yaml.safe_load((root / "dvc.yaml").read_text())["stages"].values():
        outputs = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get("do", {}).get(kind, ())]
        for entry in outputs:
            for project in stage["foreach"]:
                path = root / next(iter(entry)).replace("${item}", project)
                file = path if path.suffix else path / "file.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f'{{"of": "{path.name} of {project}"}}\n')


def show_idle(root: Path, seconds: float) -> None:
    """Prints the share of one core that each server of an idle ``kedro up`` takes."""
    with servers(root) as process:
        time.sleep(SETTLE_S)
        before, started = processor_seconds(process), time.monotonic()
        time.sleep(seconds)
        spent = time.monotonic() - started
        used = {name: value - before.get(name, 0.0) for name, value in processor_seconds(process).items()}
    print(f"kedro up, nobody asks, {spent:.0f} s")
    for name, value in sorted(used.items(), key=lambda one: -one[1]):
        print(f"  {name:<58} {100 * value / spent:6.2f} % of one core")
    print(f"  {'all':<58} {100 * sum(used.values()) / spent:6.2f} % of one core (goal below 5)")


@contextmanager
def servers(root: Path) -> Iterator[psutil.Process]:
    """Runs ``kedro up`` in a copy for the length of the block, from the moment that all servers answer."""
    log = root / "up.log"
    with log.open("wb") as output:
        command = (*KEDRO, "up", *PORTS)
        up = subprocess.Popen(command, cwd=root, env=os.environ | environment(root), stdout=output, stderr=output)
    try:
        while "Ctrl-C" not in log.read_text():
            if up.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.5)
        yield psutil.Process(up.pid)
    finally:
        up.send_signal(signal.SIGINT)
        up.wait()


def processor_seconds(process: psutil.Process) -> dict[str, float]:
    """Returns the processor time of each process below ``process``, with that of its children that have ended."""
    found = {}
    for one in [process, *process.children(recursive=True)]:
        try:
            words = [word for word in one.cmdline() if not word.startswith("-") and "python" not in word]
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        name = " ".join(Path(word).name for word in words[:3])[:40]
        found[f"{one.pid} {name}"] = sum(times[:4])
    return found


if __name__ == "__main__":
    main()
