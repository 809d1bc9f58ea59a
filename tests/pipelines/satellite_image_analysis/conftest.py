"""A small simulated coast, shared by the tests."""

import polars as pl
import pytest

from tests.pipelines.satellite_image_analysis.small import SMALL


@pytest.fixture(scope="session")
def tiles() -> pl.DataFrame:
    return SMALL.project.ingest(SMALL.ingest)
