"""What each project's routes promise in the OpenAPI document, tried by Schemathesis on a real model over real HTTP."""

import time
from collections import Counter

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from modelyard.serving.loaded_version import LoadedVersion
from tests.contract.shelves import all_shelves
from tests.modelyard.serving.every_project import listening, write_features
from tests.pipelines.small_fit import small_of, trained_once

CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
]
"""Not among them: that whatever fits the schema is answered. A request may ask for what only its values rule out."""

CONFIG = {"checks": {"negative_data_rejection": {"expected-statuses": ["413", "415", "422"]}}}

N_EXAMPLES = 8
"""Requests that fit the schema of a route, and as many that do not."""


@pytest.mark.parametrize("name", [shelves.name for shelves in all_shelves()])
def test_every_route_keeps_what_its_schema_says(name, session_folder, data_directory, monkeypatch):
    monkeypatch.delenv("MODELYARD_API_KEYS", raising=False)
    small = small_of(name)
    model = trained_once(small, session_folder).model
    champion = LoadedVersion(project=small.project, version="1", identity=("1", "small"), model=model)
    write_features(small)
    with listening(small.project, champion) as url, requests.Session() as session:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=schemathesis.Config.from_dict(CONFIG))
        operations = [found.ok() for found in schema.get_all_operations()]
        assert {f"/v1/{name}/predict", f"/v1/{name}/invocations"} <= {one.path for one in operations}
        for operation in operations:
            for strategy in operation.get_strategies_from_examples():
                assert tried(strategy, session, n=1).keys() <= {200, 422}, operation.label
            for mode in GenerationMode:
                tried(operation.as_strategy(generation_mode=mode), session, n=N_EXAMPLES)
            started = time.monotonic()
            assert session.get(f"{url}/healthz").status_code == 200
            assert time.monotonic() - started < 1


def tried(strategy, session, n):
    """Sends n requests and checks each answer; returns how often each status came."""
    statuses = Counter()

    @hypothesis.settings(
        max_examples=n,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def send(case):
        response = case.call(session=session)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    send()
    return statuses
