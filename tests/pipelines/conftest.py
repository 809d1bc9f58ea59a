"""The small fit of the project whose folder a test lies in, for tests of what learns, predicts and serves."""

import pytest

from tests.pipelines.small_fit import Trained, small_of, trained_once


@pytest.fixture(scope="module")
def trained(request, session_folder) -> Trained:
    """The model that all tests of the session share."""
    return trained_once(small_of(request.path.parent.name), session_folder)


@pytest.fixture(scope="module")
def refit(request):
    """Fits once more: see :meth:`tests.pipelines.small_fit.SmallFit.fitted`."""
    return small_of(request.path.parent.name).fitted
