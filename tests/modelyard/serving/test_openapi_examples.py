"""Examples of the OpenAPI document show what a request needs, not what it may leave out."""

import pytest

from tests.modelyard.serving.every_project import PROJECTS, served

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", PROJECTS)
async def test_an_example_has_no_field_without_a_value_and_is_accepted(name):
    async with served(name) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        example = paths[f"/v1/{name}/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert None not in example.values()
        assert (await client.post(f"/v1/{name}/predict", json=example)).status_code == 200
