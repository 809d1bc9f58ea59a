"""A scheduler on an empty data folder."""

import pytest

from tests.modelyard.retraining.scheduled import Scheduler


@pytest.fixture
def scheduler(data_directory, monkeypatch):
    scheduler = Scheduler(data_directory, monkeypatch)
    yield scheduler
    scheduler.close()
