"""A small simulated set, shared by the tests."""

import polars as pl
import pytest

from tests.pipelines.handwritten_digit_recognition.small import SMALL


@pytest.fixture(scope="session")
def pictures() -> pl.DataFrame:
    return SMALL.project.ingest(SMALL.ingest)
