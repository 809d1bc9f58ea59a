"""A small simulated world, shared by the tests."""

import polars as pl
import pytest

from pipelines.fraud_detection.data import IngestParameters
from tests.pipelines.fraud_detection.small import SMALL


@pytest.fixture(scope="session")
def small() -> IngestParameters:
    """The world of ``examples``."""
    return SMALL.ingest


@pytest.fixture(scope="session")
def examples() -> pl.DataFrame:
    return SMALL.examples()
