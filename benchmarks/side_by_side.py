"""Commands measured in turn, so that a machine that speeds up or slows down does so for both."""

import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

COMPETITORS = Path(__file__).resolve().parents[1] / ".bench"
"""Where ``make bench-env`` installs them."""


def missing_competitor(package: str) -> str:
    """Returns what to say about a competitor that is not installed; empty if it is, and then it can be imported."""
    if COMPETITORS.is_dir() and str(COMPETITORS) not in sys.path:
        sys.path.append(str(COMPETITORS))
    if importlib.util.find_spec(package) is not None:
        return ""
    return f"MISSING COMPETITOR: {package} is not installed, so nothing is compared with it. Get it: make bench-env"


class Command(NamedTuple):
    """One contestant."""

    name: str
    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]


def seconds(command: Command) -> float:
    """Wall time of one run, which must succeed."""
    started = time.perf_counter()
    ended = subprocess.run(
        command.arguments,
        cwd=command.folder,
        env=os.environ | command.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed = time.perf_counter() - started
    if ended.returncode:
        raise SystemExit(f"{command.name} failed:\n{ended.stdout[-2000:]}{ended.stderr[-4000:]}")
    return elapsed


def compare(ours: Command, theirs: Command, *, n_runs: int, goal: str) -> float:
    """Runs both in turn, prints medians and the median of the paired ratios ours/theirs.

    A warm-up of each comes first, unless they are run only once.
    """
    if n_runs > 1:
        for command in (ours, theirs):
            seconds(command)
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(n_runs)]
    ratio = statistics.median(a / b for a, b in pairs)
    for command, values in zip((ours, theirs), zip(*pairs, strict=True), strict=True):
        print(f"  {command.name:<58} {statistics.median(values):7.2f} s  ({min(values):.2f} to {max(values):.2f})")
    print(f"  ratio {ratio:.2f} (goal {goal}; {n_runs} pairs, median)\n")
    return ratio
