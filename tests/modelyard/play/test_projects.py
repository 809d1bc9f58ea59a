"""Every example of every project is played in a real Chromium, on the real server, with a small trained model.

``pytest tests/modelyard/play --screenshots docs/images`` writes the pictures of docs/play.md anew.
"""

import pytest
from PIL import Image

from modelyard.projects import load_project, project_names
from modelyard.serving.app import build_app
from modelyard.serving.loaded_version import LoadedVersion
from modelyard.serving.server_settings import ServingSettings
from tests.modelyard.play.small_server import running
from tests.pipelines.small_fit import small_of, trained_once

NAMES = project_names()
PIXELS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""


@pytest.fixture(scope="module")
def served(session_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_DATA_DIR", str(tmp_path_factory.mktemp("served")))
        patch.delenv("MODELYARD_API_KEYS", raising=False)
        app = build_app(ServingSettings(), {name: load_project(name) for name in NAMES}, None)
        for name, service in app.state.services.items():
            model = trained_once(small_of(name), session_folder).model
            service.champion = LoadedVersion(project=service.project, version="1", identity=("1", "small"), model=model)
        with running(app) as url:
            yield url


def _answered(page):
    page.locator(".answer[aria-busy=false] .source .latency").wait_for()


def _look(page, name, output, seen):
    """What is seen of one output is not empty; fields whose canvas shows something are added to ``seen``."""
    place = page.locator(f".output.{output.kind}").filter(has_text=output.label).first
    assert place.inner_text().strip() != output.label, (name, output.label)
    for canvas in place.locator("canvas").all():
        is_flat = "Nothing on this picture stands out." in place.inner_text()
        assert canvas.evaluate(PIXELS) > (0 if is_flat else 2 if output.kind == "heat_map" else 8), (name, output.label)
        if not is_flat:
            seen.add(output.field)
    for meter in place.get_by_role("meter").all():
        assert 0 <= float(meter.get_attribute("aria-valuenow")) <= 1
    if output.kind == "fan_chart" and place.locator("svg").count():
        assert place.locator("path.band").count() == len(output.levels) // 2
        assert place.locator("path.band").first.bounding_box()["height"] > 5
    if output.kind == "heat_map":
        assert place.locator("img").evaluate("image => image.naturalWidth") > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_played(served, open_page, name, request):
    play = load_project(name).play
    page, seen = open_page(f"{served}/#/{name}"), set()
    for number, example in enumerate(play.examples(), 1):
        page.goto(f"{served}/#/{name}/{number}")
        page.locator(".example[aria-current=true]").filter(has_text=example.title).wait_for()
        _answered(page)
        page.wait_for_timeout(150)  # an answer to the example before may still be seen
        _answered(page)
        assert page.locator(".notice, .error").count() == 0, page.locator(".notice, .error").first.inner_text()
        assert page.locator(".output").count() == len(play.outputs)
        for output in play.outputs:
            _look(page, name, output, seen)
        assert "version 1 · champion" in page.locator(".source").inner_text()
        folder = request.config.getoption("--screenshots")
        if number == 1 and folder:
            _shoot(page, folder / "play", name)
    assert seen == {output.field for output in play.outputs if output.kind in ("heat_map", "music")}


def _shoot(page, folder, name):
    """Pictures of a page for the documentation: one is in dark colours, one is also taken on a phone."""
    folder.mkdir(parents=True, exist_ok=True)
    page.emulate_media(reduced_motion="reduce")
    if name == "music_generation":
        page.get_by_role("button", name="Change to dark colours").click()
    _taken(page, folder / f"{name}.png")
    if name == "climate_pattern_recognition":
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_timeout(200)
        _taken(page, folder / f"{name}-phone.png")
        page.set_viewport_size({"width": 1280, "height": 900})


def _taken(page, path):
    page.screenshot(path=path, full_page=True)
    # 256 colours are enough for a page, and a third of the bytes.
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)
