"""The context of a run: commit, code and lock digests, device and library versions."""

import os
import platform
import subprocess
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from modelyard.errors import StorageError
from modelyard.files import sha256_of_file
from modelyard.paths import repository

LIBRARIES = ("kedro", "mlflow", "torch", "accelerate", "xgboost", "polars", "duckdb", "numpy", "optuna", "feast")
"""Libraries whose versions can change a result."""


def commit() -> str:
    """Returns the checkout's commit, 40 hex digits; ``unknown`` outside a git checkout."""
    return _git("rev-parse", "HEAD") or "unknown"


def is_dirty() -> bool:
    """Returns whether the checkout's code differs from its commit."""
    return bool(_git("status", "--porcelain", "--", "src", "pipelines", "conf", "requirements.lock", "pyproject.toml"))


def lock_digest() -> str:
    """Returns the hex sha256 of ``requirements.lock``."""
    return sha256_of_file(repository() / "requirements.lock")


def code_digest(project: str) -> str:
    """Returns the hex sha256 over names and bytes of every module that the project's stages run.

    Modules that serve or retrain a model are left out, because they cannot change it.
    """
    from modelyard.lineage.stage_code import listing, model_modules

    return sha256(listing(model_modules(project)).encode()).hexdigest()


def device() -> dict[str, str]:
    """Returns the accelerator that torch finds, else the processor."""
    import torch

    if torch.cuda.is_available():
        return {"kind": "cuda", "name": torch.cuda.get_device_name(0)}
    return {"kind": "cpu", "name": f"{_processor()}, {available_cores()} cores"}


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def library_versions() -> dict[str, str]:
    """Returns the versions of :data:`LIBRARIES` and of Python."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES}


class RunContext(AbstractDataset[None, dict[str, Any]]):
    """The context of a run, read when it is loaded; never written.

    Args:
        project: The project whose code the digest covers.
    """

    def __init__(self, *, project: str) -> None:
        self._project = project

    def load(self) -> dict[str, Any]:
        """Returns commit, whether the code differs from it, digests, device and versions."""
        return {
            "commit": commit(),
            "is_dirty": is_dirty(),
            "lock_digest": lock_digest(),
            "code_digest": code_digest(self._project),
            "device": device(),
            "library_versions": library_versions(),
            "environment": os.environ.get("MODELYARD_ENVIRONMENT", "local"),
        }

    def save(self, data: None) -> None:
        """Raises an error, because the context is only read.

        Raises:
            StorageError: Always.
        """
        raise StorageError("The run's context is read, never written.", where=self._project)

    def _describe(self) -> dict[str, Any]:
        return {"project": self._project}


def _git(*arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=repository(), capture_output=True, text=True, check=False, timeout=30
    )
    return result.stdout.strip() if result.returncode == 0 else ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
