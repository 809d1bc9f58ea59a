"""One story for all tests of this folder: see :mod:`benchmarks.demo_drift`."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import demo_drift


@dataclass(frozen=True)
class Told:
    """The story, what was said, and the data folder that it left."""

    story: demo_drift.Story
    said: list[str]
    data: Path


@pytest.fixture(scope="session")
def told(tmp_path_factory, migrated_database):
    data = tmp_path_factory.mktemp("story")
    shutil.copy(migrated_database, data / "mlflow.db")
    said = []
    story = demo_drift.tell(data, 300, said.append, served_share=0.5)
    demo_drift.picture(story, data / "story.png")
    return Told(story, said, data)
