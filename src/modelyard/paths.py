"""The paths of the repository and of its data folder."""

import os
from functools import cache
from pathlib import Path


@cache
def repository() -> Path:
    """Returns the root of the checkout: the folder that holds ``conf/`` and ``pipelines/``."""
    return Path(__file__).resolve().parents[2]


def data_directory() -> Path:
    """Returns the root of Kedro's data layers: ``$MODELYARD_DATA_DIR``, or ``data/`` in the repository."""
    return Path(os.environ.get("MODELYARD_DATA_DIR") or repository() / "data").absolute()


def reporting_folder(project: str) -> Path:
    """Returns the folder of what a project's latest run reports: figures, metrics, card."""
    return data_directory() / "08_reporting" / project


def verdicts_folder(project: str) -> Path:
    """Returns the folder of monitoring's verdicts: a subfolder for each, and ``latest.json``."""
    return reporting_folder(project) / "monitoring"
