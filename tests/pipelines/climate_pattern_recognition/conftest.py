"""A short simulated oscillation, shared by the tests."""

import pytest

from pipelines.climate_pattern_recognition.data import IngestParameters
from tests.pipelines.climate_pattern_recognition.small import SMALL


@pytest.fixture(scope="session")
def small() -> IngestParameters:
    """The world of ``trained``."""
    return SMALL.ingest
