"""One PostgreSQL, one Redis and one S3 server for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests import services
from tests.services import Service


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Service]:
    with services.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[Service]:
    with services.redis() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[Service]:
    with services.s3() as server:
        yield server
