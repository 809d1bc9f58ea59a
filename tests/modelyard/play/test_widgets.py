"""A person at the page, in a real Chromium: every kind of input and output, its errors, and its looks."""

import base64
import io
import json
import re
import subprocess
import sys
import time
import wave

import mido
import numpy as np
import pytest
from PIL import Image
from starlette.responses import JSONResponse

from tests.modelyard.play.small_server import PLAYS, SmallServer, running

WIDGETS = {
    "card": {"number", "choice", "moment", "text", "probability", "verdict", "reasons"},
    "picture": {"picture", "verdict", "probabilities", "heat_map", "measure"},
    "forecast": {"series", "number", "fan_chart", "measure"},
    "stock": {"bars", "probability", "measure"},
    "music": {"piano_roll", "number", "music", "measure"},
}
COLOURS_SEEN = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""


@pytest.fixture(scope="module")
def small():
    server = SmallServer()
    with running(server.app()) as url:
        server.url = url
        yield server


@pytest.fixture
def server(small):
    small.asked.clear()
    small.static.clear()
    yield small
    small.down = None


def answered(page):
    """Waits until the answer to what stands in the inputs is there."""
    page.locator(".answer[aria-busy=false] .source .latency").wait_for()


def until(page, is_so, timeout_s=15):
    """Waits until something is so; the page's own policy forbids what playwright would wait with."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def value(page, selector):
    found = page.locator(selector)
    return found.input_value() if found.count() else None


def figure(page):
    return page.locator(".output .figure").first.inner_text()


def last(server, name):
    """The latest request; of a batch, its first row."""
    body = next(body for asked, body in reversed(server.asked) if asked == name)
    return body[0] if isinstance(body, list) else body


def test_the_gallery_says_how_each_project_stands(server, open_page):
    page = open_page(f"{server.url}/")
    cards = page.locator(".card:not(.waiting)")
    cards.first.wait_for()
    texts = {text.split("\n")[0]: text for text in cards.all_inner_texts()}
    assert "champion" in texts["Card"]
    assert "not yet champion" in texts["Picture"]
    assert "drifted" in texts["Stock"]
    assert "drift suspected" in texts["Forecast"]
    assert "trained 5 hours ago" in texts["Card"]
    assert "kedro run --pipeline=not_trained" in texts["Not trained"]
    assert page.get_by_role("link", name="Pageless").count() == 0
    bar = page.get_by_role("img", name=re.compile("average precision 0.709, interval 0.655 to 0.760, floor 0.134"))
    assert bar.count() == 6
    page.get_by_role("searchbox").fill("rise tomorrow")
    assert cards.count() == 1
    until(page, lambda: page.locator(".card-picture img").first.evaluate("image => image.naturalWidth > 0"))
    loaded = {name.split("-")[0] for name in server.static}
    assert "project" not in loaded, "nothing is loaded for projects that were not opened"
    assert not set().union(*WIDGETS.values()) & loaded


def test_the_first_paint_takes_less_than_a_second(server, open_page):
    page = open_page(f"{server.url}/")
    paints = []
    for _ in range(3):  # the best of three: other work on the machine is not the page's
        page.reload()
        page.locator(".card:not(.waiting)").first.wait_for()
        paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(paints) < 1000, paints


@pytest.mark.parametrize("name", PLAYS)
def test_the_first_example_is_answered_on_opening_and_only_its_widgets_are_loaded(server, open_page, name):
    page = open_page(f"{server.url}/#/{name}")
    answered(page)
    assert page.get_by_role("heading", level=1).inner_text() == PLAYS[name].question
    outputs = page.locator(".output")
    assert outputs.count() == len(PLAYS[name].outputs)
    assert all(output.inner_text().strip() for output in outputs.all())
    for canvas in page.locator("canvas").all():
        assert canvas.evaluate(COLOURS_SEEN) > 3
    for chart in page.locator("svg.chart").all():
        assert chart.locator("path.line, rect").count() >= 1
        assert chart.bounding_box()["height"] > 100
    loaded = {file.split("-")[0] for file in server.static}
    assert loaded & set().union(*WIDGETS.values()) == WIDGETS[name]
    champion = "champion" if name == "card" else "the latest challenger answers; no champion yet"
    assert champion in page.locator(".source").inner_text()
    assert re.search(r"\d ms|\d s", page.locator(".latency").inner_text())


def test_the_answer_follows_the_inputs(server, open_page):
    page = open_page(f"{server.url}/#/card")
    answered(page)
    before = page.locator(".probability .figure").inner_text()
    page.get_by_role("textbox", name="Amount").fill("1234,5")
    until(page, lambda: figure(page) != before)
    answered(page)
    request = last(server, "card")
    assert request["amount"] == 1234.5, "a decimal comma is understood"
    assert request["recent"] == [12.0, 1234.5]
    assert request["ratio"] == pytest.approx(1234.5 / 40)
    page.get_by_role("slider", name="Amount").press("Home")
    page.get_by_role("radio", name="Online").check(force=True)
    page.get_by_role("slider", name="When: time of day").fill("190")
    page.get_by_role("button", name="A day later").click()
    page.get_by_text("More to change").click()
    page.get_by_role("radio", name="Yes").check(force=True)
    page.get_by_role("textbox", name="Merchant").fill("Kiosk")
    page.get_by_text("it was paid at 3 o'clock").wait_for()
    changed = {"place": "web", "time": "2024-05-18T03:10:00Z", "is_abroad": True, "merchant": "Kiosk"}
    until(page, lambda: {name: last(server, "card")[name] for name in changed} == changed)
    assert last(server, "card")["amount"] < 1
    page.get_by_role("button", name="Back to the example").click()
    until(page, lambda: figure(page) == before)


def test_an_older_answer_never_overtakes(server, open_page):
    page = open_page(f"{server.url}/#/card")
    answered(page)
    held = []

    def hold_the_first(route):
        if json.loads(route.request.post_data)["amount"] == 1:
            held.append(route)
        else:
            route.continue_()

    page.route("**/v1/card/play", hold_the_first)
    amount = page.get_by_role("textbox", name="Amount")
    amount.fill("1")
    page.wait_for_timeout(300)
    amount.fill("4000")
    answered(page)
    newer = page.locator(".probability .figure").inner_text()
    held[0].continue_()
    page.wait_for_timeout(300)
    assert page.locator(".probability .figure").inner_text() == newer


def test_an_error_is_said_beside_its_input(server, open_page):
    page = open_page(f"{server.url}/#/card")
    answered(page)
    amount = page.get_by_role("textbox", name="Amount")
    amount.fill("9000")
    page.locator("#input-amount-error").wait_for()
    assert page.locator("#input-amount-error").inner_text() == "the largest amount is 5000"
    assert amount.get_attribute("aria-describedby") == "input-amount-error"
    assert page.locator(".notice").count() == 0
    amount.fill("90")
    page.locator("#input-amount-error").wait_for(state="detached")


def test_what_no_input_can_mend_is_said_above_with_the_way_out(server, open_page):
    page = open_page(f"{server.url}/#/card")
    answered(page)
    server.down = JSONResponse({"detail": "3 rows are waiting already.", "way_out": "come back later"}, 503)
    page.get_by_role("textbox", name="Amount").fill("70")
    page.get_by_text("The way out: come back later.").wait_for()
    assert "3 rows are waiting already." in page.locator(".notice").inner_text()
    server.down = None
    page.get_by_role("button", name="Try again").click()
    page.locator(".notice").wait_for(state="detached")


def test_a_model_that_cannot_answer_leaves_no_page_that_waits_for_ever(server, open_page):
    page = open_page(f"{server.url}/")
    page.locator(".card:not(.waiting)").first.wait_for()
    page.route(
        "**/v1/card/play", lambda route: _unavailable(route) if route.request.method == "POST" else route.continue_()
    )
    page.goto(f"{server.url}/#/card")
    page.get_by_text("There is no answer yet.").wait_for()
    assert "Version 1 cannot answer." in page.locator(".notice").inner_text()


def _unavailable(route):
    route.fulfill(status=503, json={"detail": "Version 1 cannot answer.", "way_out": "kedro run --pipeline=card"})


def test_addresses_lead_to_examples_and_back(server, open_page):
    page = open_page(f"{server.url}/#/card/2")
    answered(page)
    assert last(server, "card")["amount"] == 900
    page.get_by_role("link", name="Example 3").click()
    until(page, lambda: value(page, "#input-amount") == "4.2")
    page.get_by_role("link", name="All projects").click()
    page.get_by_role("link", name="Forecast").click()
    page.locator(".fan_chart").wait_for()
    page.go_back()
    page.get_by_role("heading", name="Ask a model something").wait_for()
    page.go_back()
    until(page, lambda: value(page, "#input-amount") == "4.2")


def test_today_can_be_pulled_back(server, open_page):
    page = open_page(f"{server.url}/#/forecast")
    answered(page)
    rows = [row for name, body in server.asked if name == "forecast" for row in body]
    assert [row["lead"] for row in rows] == [6, 1, 2, 3, 6, 9, 12, 24], "all leads are asked for together"
    assert {len(body) for name, body in server.asked} == {5, 3}, "no more rows in a call than the route takes"
    assert page.locator(".fan .came").count() == 0
    page.get_by_role("slider", name="“Today”").fill("50")
    page.locator(".fan .came").wait_for(state="attached")
    until(page, lambda: [len(last(server, "forecast")[field]) for field in ("values", "other")] == [50, 50])
    request = last(server, "forecast")
    assert request["end"] == "2023-05-31T00:00:00Z", "ten months earlier, as the month has no more days"
    assert "really came" in page.locator(".fan_chart .readout").inner_text()
    page.get_by_role("application", name=re.compile("Forecast")).press("ArrowRight")
    until(page, lambda: value(page, "#input-lead") == "9")


def test_a_lead_that_no_version_answers_leaves_the_fan(server, open_page):
    page = open_page(f"{server.url}/#/forecast")
    answered(page)
    page.get_by_role("textbox", name="Steps ahead").fill("15")
    page.locator(".measure").get_by_text("The model says nothing of it here.").wait_for()
    assert page.locator(".fan path.band").count() == 2


def test_a_curve_is_drawn_and_numbers_are_pasted(server, open_page):
    page = open_page(f"{server.url}/#/forecast")
    answered(page)
    before = last(server, "forecast")["values"]
    box = page.locator("#input-values").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 60, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 20)
    page.mouse.up()
    until(page, lambda: min(last(server, "forecast")["values"][-5:]) > max(before[-5:]))
    drawn = last(server, "forecast")["values"]
    assert len(drawn) == 60
    assert drawn[:40] == before[:40]
    page.locator("#input-values").press("ArrowUp")
    page.get_by_role("button", name="Paste numbers").click()
    page.get_by_role("textbox", name="Anomaly, one number a line").fill("1,5\n2,5\n-1\n0,25")
    page.get_by_text("4 numbers, −1 to 2.5").wait_for()
    until(page, lambda: last(server, "forecast")["values"] == [1.5, 2.5, -1, 0.25])
    assert len(last(server, "forecast")["other"]) == 4


def test_bars_stay_sound_while_their_closes_are_drawn(server, open_page):
    page = open_page(f"{server.url}/#/stock")
    answered(page)
    box = page.locator("#input-closes").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 100, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 190)
    page.mouse.up()
    page.get_by_role("slider", name="“Today”").fill("38")
    page.get_by_text("2024-02-07 · 2 held back").wait_for()
    until(page, lambda: page.locator(".measure .figure").inner_text() == "38")
    request = last(server, "stock")
    assert {field: len(request[field]) for field in ("days", "opens", "market", "volumes")} == {
        "days": 38, "opens": 38, "market": 38, "volumes": 0,
    }  # fmt: skip
    bars = zip(request["lows"], request["opens"], request["closes"], request["highs"], strict=True)
    assert all(low <= min(first, close) <= max(first, close) <= high for low, first, close, high in bars)
    assert request["closes"] != PLAYS["stock"].examples()[0].request["closes"][:38]


def _sent_picture(server):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(last(server, "picture")["image"]))))


def _changed(page, act):
    """Does something that sends another picture, and waits for the answer to it."""
    with page.expect_response(lambda response: response.url.endswith("/v1/picture/play")):
        act()
    answered(page)


def test_a_picture_from_a_file_is_turned_cut_and_made_grey(server, open_page, tmp_path):
    page = open_page(f"{server.url}/#/picture")
    answered(page)
    pixels = np.zeros((300, 500, 3), np.uint8)
    pixels[:150] = (255, 0, 0)  # red above
    exif = Image.Exif()
    exif[0x0112] = 3  # held upside down
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    _changed(page, lambda: page.locator("input[type=file]").set_input_files(tmp_path / "photo.jpg"))
    sent = _sent_picture(server)
    assert sent.shape == (64, 64), "one channel"
    assert sent[:20].max() < 12, "what was above is below"
    assert abs(int(np.median(sent[-20:])) - round(0.299 * 255)) <= 4, "luminance of red"


def test_a_picture_is_dropped_pasted_drawn_and_filmed(server, open_page):
    page = open_page(f"{server.url}/#/picture")
    answered(page)
    give = """([kind, target]) => {
      const bytes = Uint8Array.from(atob(window.picture), (one) => one.charCodeAt(0));
      const data = new DataTransfer();
      data.items.add(new File([bytes], "one.png", { type: "image/png" }));
      const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
        : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
      document.querySelector(target).dispatchEvent(event);
    }"""
    for kind, target, shade in (("paste", "body", 200), ("drop", ".picture-box", 90)):
        buffer = io.BytesIO()
        Image.new("RGBA", (80, 80), (shade, shade, shade, 255)).save(buffer, "PNG")
        page.evaluate("text => { window.picture = text; }", base64.b64encode(buffer.getvalue()).decode())
        _changed(page, lambda kind=kind, target=target: page.evaluate(give, [kind, target]))
        assert np.unique(_sent_picture(server)).tolist() == [shade]
    page.get_by_role("button", name="Draw").click()
    box = page.locator(".drawing").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    _changed(page, lambda: page.mouse.move(box["x"] + 200, box["y"] + 200, steps=4))
    page.mouse.up()
    assert set(np.unique(_sent_picture(server))) >= {0, 255}
    page.get_by_role("button", name="Done").click()
    _changed(page, lambda: page.get_by_role("button", name="Camera").click())
    page.get_by_role("button", name="Keep this one").click()
    assert len(np.unique(_sent_picture(server))) > 2


def test_music_appears_while_it_is_composed_and_is_heard_and_saved(server, open_page):
    page = open_page(f"{server.url}/#/music")
    counts = page.evaluate("""async () => {
      const seen = new Set();
      for (let i = 0; i < 400 && !document.querySelector('.source .latency'); i++) {
        const label = document.querySelector('.music canvas')?.getAttribute('aria-label') ?? '';
        const found = /(\\d+) composed/.exec(label);
        if (found) seen.add(+found[1]);
        await new Promise((done) => setTimeout(done, 10));
      }
      return [...seen];
    }""")
    assert len(counts) > 3, "it can be seen growing"
    answered(page)
    assert "24 composed" in page.locator(".music canvas").get_attribute("aria-label")
    place = page.get_by_role("slider", name="Place in the piece")
    page.get_by_role("button", name="Play").click()
    until(page, lambda: page.evaluate("document.querySelector('audio').currentTime") > 0.1)
    page.get_by_role("button", name="Pause").click()
    assert float(place.input_value()) > 0
    place.fill("5")
    assert page.evaluate("document.querySelector('audio').currentTime") == pytest.approx(5, abs=0.1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save WAV").click()
    with wave.open(str(download.value.path())) as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
        assert sound.getnframes() / sound.getframerate() == pytest.approx(28 * 0.25 + 0.35, abs=0.01)
    assert np.abs(samples).max() > 20_000
    assert np.abs(samples[: len(samples) // 4]).mean() > 500
    with page.expect_download() as download:
        page.get_by_role("button", name="Save MIDI").click()
    notes = [one for one in mido.MidiFile(str(download.value.path())).tracks[0] if one.type == "note_on"]
    assert len(notes) == 24 * 4
    asked = len(server.asked)
    page.locator("#input-frames").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    until(page, lambda: len(server.asked) > asked)
    assert len(last(server, "music")["frames"][1].split()) == 5


def test_the_request_that_is_shown_gives_the_same_answer(server, open_page):
    page = open_page(f"{server.url}/#/card/2", permissions=["clipboard-read", "clipboard-write"])
    answered(page)
    shown = float(page.locator(".probability .figure").inner_text().split()[0])
    page.get_by_text("Show the request").click()
    for language, command in (("curl", ["bash", "-c"]), ("Python", [sys.executable, "-c"])):
        page.get_by_role("button", name=language).click()
        page.get_by_role("button", name=re.compile("Cop")).click()
        page.get_by_role("button", name="Copied").wait_for()
        code = page.evaluate("navigator.clipboard.readText()")
        said = subprocess.run([*command, code], check=True, capture_output=True, text=True, timeout=60).stdout
        assert 100 * float(re.search(r"probability['\"]: ?([\d.]+)", said)[1]) == pytest.approx(shown, abs=0.06)


def test_a_key_is_asked_for_and_kept_in_the_session_only(open_page):
    server = SmallServer(key="secret")
    with running(server.app()) as url:
        page = open_page(f"{url}/#/card")
        page.get_by_role("textbox", name="API key").fill("wrong")
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("The key was not accepted").wait_for()
        page.get_by_role("textbox", name="API key").fill("secret")
        page.get_by_role("button", name="Continue").click()
        answered(page)
        page.get_by_role("link", name="All projects").click()
        until(page, lambda: page.locator(".card-picture img").first.evaluate("image => image.naturalWidth > 0"))
        assert "secret" in page.evaluate("Object.values(sessionStorage)")
        assert "secret" not in page.evaluate("Object.values(localStorage).join() + document.cookie")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_no_serious_fault(server, open_page, node_modules, colours):
    axe = (node_modules / "axe-core" / "axe.min.js").read_text()
    page = open_page(f"{server.url}/", color_scheme=colours, reduced_motion="reduce")
    page.locator(".card:not(.waiting)").first.wait_for()
    faults = {}
    for name in ("", *PLAYS):
        page.goto(f"{server.url}/#/{name}")
        if name:
            page.get_by_role("heading", level=1, name=PLAYS[name].question).wait_for()
            answered(page)
        page.evaluate(axe)
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        serious = [
            (one["id"], [node["html"][:160] for node in one["nodes"][:3]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        if serious:
            faults[name] = serious
    assert faults == {}


def test_a_phone_shows_everything_without_scrolling_aside(server, open_page):
    page = open_page(f"{server.url}/", viewport={"width": 360, "height": 740})
    page.locator(".card:not(.waiting)").first.wait_for()
    for name in ("", *PLAYS):
        page.goto(f"{server.url}/#/{name}")
        if name:
            page.get_by_role("heading", level=1, name=PLAYS[name].question).wait_for()
            answered(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


def test_the_colours_can_be_switched_and_stay(server, open_page):
    page = open_page(f"{server.url}/", color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    page.locator(".card:not(.waiting)").first.wait_for()
    light = page.evaluate(ground)
    page.get_by_role("button", name="Change to dark colours").click()
    page.reload()
    page.locator(".card:not(.waiting)").first.wait_for()
    assert page.evaluate(ground) != light
