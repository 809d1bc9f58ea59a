"""A small simulated hospital, shared by the tests."""

import polars as pl
import pytest

from tests.pipelines.medical_image_analysis.small import SMALL


@pytest.fixture(scope="session")
def exams() -> pl.DataFrame:
    return SMALL.project.ingest(SMALL.ingest)
