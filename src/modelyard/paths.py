"""Where things lie: the repository, its data folder, one project's folders."""

import os
from functools import cache
from pathlib import Path


@cache
def repository() -> Path:
    """The checkout's root: the folder that holds ``conf/`` and ``pipelines/``."""
    return Path(__file__).resolve().parents[2]


def data_directory() -> Path:
    """The root of Kedro's data layers: ``$MODELYARD_DATA_DIR``, or ``data/`` in the repository."""
    return Path(os.environ.get("MODELYARD_DATA_DIR") or repository() / "data").absolute()
