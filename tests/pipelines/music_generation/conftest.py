"""A few simulated pieces, shared by the tests."""

import polars as pl
import pytest

from pipelines.music_generation.data import IngestParameters
from tests.pipelines.music_generation.small import SMALL


@pytest.fixture(scope="session")
def pieces() -> pl.DataFrame:
    return SMALL.project.ingest(SMALL.ingest)


@pytest.fixture(scope="session")
def small() -> IngestParameters:
    return SMALL.ingest
