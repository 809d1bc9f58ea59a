"""Pictures that are small to send and large to decode, sent to every project that takes pictures."""

import base64
import io
import json
import time

import pytest
from PIL import Image

from modelyard.project import EncodedMedia
from modelyard.serving.bodies import media_fields
from tests.contract.shelves import all_shelves
from tests.modelyard.serving.every_project import beside, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def with_pictures():
    """Projects whose requests hold media: today's, and a new one of each kind."""
    projects = [shelves.project() for shelves in all_shelves()]
    return {project.name: project for project in projects if media_fields(project.api.request)}


WITH_PICTURES = with_pictures()


@pytest.fixture(autouse=True)
def _folder(data_directory, monkeypatch):
    monkeypatch.delenv("MODELYARD_API_KEYS", raising=False)


def test_the_projects_with_pictures_are_found():
    assert {"medical_image_analysis", "satellite_image_analysis", "new_images_project"} <= set(WITH_PICTURES)
    assert isinstance(WITH_PICTURES["new_images_project"].api.example.image, EncodedMedia)


@pytest.mark.parametrize("name", WITH_PICTURES)
async def test_pixels_are_counted_before_any_is_decoded(name):
    project = WITH_PICTURES[name]
    row = project.api.example.model_dump(mode="json")
    rows = [row | dict.fromkeys(media_fields(project.api.request), bomb(8000))] * min(94, project.api.max_rows or 94)
    async with serving([project]) as client:
        await client.post(f"/v1/{name}/predict", json=row)  # imports what decodes pictures
        for route, sent in (("predict", rows), ("invocations", {"dataframe_records": rows})):
            body = json.dumps(sent).encode()
            assert len(body) < 8_000_000
            started = time.perf_counter()
            waits, answer = await beside(client, client.post(f"/v1/{name}/{route}", content=body))
            assert time.perf_counter() - started < 2
            assert answer.status_code == 413, answer.text[:300]
            assert "pixels" in answer.json()["detail"]
            assert waits[int(len(waits) * 0.99) - 1] < 0.1, waits[-3:]


@pytest.mark.parametrize("name", WITH_PICTURES)
async def test_a_damaged_picture_is_422_with_its_place(name):
    project = WITH_PICTURES[name]
    good = project.api.example.model_dump(mode="json")
    (field,) = media_fields(project.api.request)
    whole = base64.b64decode(good[field])
    # The header is as it was, and what follows it is not.
    broken = good | {field: base64.b64encode(whole[: len(whole) * 2 // 3]).decode()}
    async with serving([project]) as client:
        assert (await client.post(f"/v1/{name}/predict", json=good)).status_code == 200
        answer = await client.post(f"/v1/{name}/predict", json=[good, broken, good])
        assert answer.status_code == 422
        (problem,) = answer.json()["detail"]
        assert problem["loc"] == ["body", 1, field]
        assert "damaged" in problem["msg"]


def bomb(side):
    """A valid picture of side x side pixels, a thousandth as many bytes."""
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "PNG", compress_level=9)
    return base64.b64encode(file.getvalue()).decode()
