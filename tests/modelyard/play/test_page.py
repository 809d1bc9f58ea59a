"""The page's files, its routes and its rights, with a toy project and built files made here."""

from dataclasses import replace
from hashlib import sha256

import pytest

from modelyard.model_registry.aliases import Candidate
from modelyard.play.description import Example, Number, Play, Verdict
from modelyard.project import LoggedMedia
from modelyard.records import Media
from modelyard.serving import stand_in
from modelyard.serving.loaded_version import RefusalError
from modelyard.serving.log_segments import media_folder, read_served
from tests.modelyard.serving.toy import SLOW, TOY, client_of, order, toy_app, version

pytestmark = pytest.mark.anyio

PAGE = "<!doctype html><script type=module src=/play/app-4F2QXJ7A.js></script>"


def examples():
    return [Example(title="small", request=order()), Example(title="large", request=order(amount_eur=90.0))]


PLAY = Play(
    question="What does it cost?",
    inputs=[Number(field="amount_eur", label="Amount", minimum=0, maximum=100, step=1)],
    outputs=[Verdict(field="is_high", label="High?", tones={"true": "bad", "false": "good"})],
    examples=examples,
    meaning="Error in EUR; below 1 is good.",
    picture="prices",
)
PLAYED = replace(TOY, play=PLAY)
PLAYED_SLOW = replace(SLOW, play=PLAY)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def _folder(data_directory, monkeypatch):
    monkeypatch.delenv("MODELYARD_API_KEYS", raising=False)


@pytest.fixture
def built(tmp_path):
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "index.html").write_text(PAGE)
    (folder / "app-4F2QXJ7A.js").write_text("export {};")
    (folder / "icon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "secret.txt").write_text("nobody's business")
    return folder


class Shelf:
    """A registry in memory: versions, their tags, aliases; and what loading one of them does."""

    def __init__(self):
        self.given, self.numbers, self.tags, self.loads = {}, {}, {}, []

    def aliases(self):
        return self.given

    def versions(self):
        return self.numbers

    def candidate(self, project, number):
        tags = {"gate": "passed", "error": "0.5", "error_interval": "0.4 to nan", "source": "simulated"}
        return Candidate(
            project=project, version=number, source="toy", location="", tags=tags | self.tags.get(number, {})
        )

    def load(self, project, candidate):
        self.loads.append(candidate.version)
        if candidate.version == "9":
            raise RefusalError("files", "Its files are damaged.")
        return version(candidate.version, float(candidate.version), project)


@pytest.fixture
def shelf(monkeypatch):
    made = Shelf()
    monkeypatch.setattr(stand_in, "load_working", made.load)
    monkeypatch.setattr(stand_in, "_LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr("modelyard.play.gallery._KEPT_S", 0.0)
    return made


async def test_the_page_and_its_files_come_with_a_strict_policy_and_hashed_ones_stay(built):
    async with toy_app([PLAYED], page=built) as app, client_of(app) as client:
        page = await client.get("/")
        assert page.text == PAGE
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["cache-control"] == "no-cache"
        script = await client.get("/play/app-4F2QXJ7A.js")
        assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "javascript" in script.headers["content-type"]
        icon = await client.get("/play/icon.svg")
        assert icon.headers["cache-control"] == "no-cache"
        for answer in (page, script, icon):
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["permissions-policy"].startswith("camera=(self)")
        again = await client.get("/play/icon.svg", headers={"if-none-match": icon.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize("path", ["/play/../secret.txt", "/play/%2e%2e/secret.txt", "/play/..%2fsecret.txt", "/play/"])
async def test_nothing_beside_the_built_files_is_given_out(built, path):
    async with toy_app([PLAYED], page=built) as app, client_of(app) as client:
        answer = await client.get(path)
        assert answer.status_code == 404
        assert "nobody" not in answer.text


async def test_without_built_files_the_server_says_how_they_are_made(tmp_path):
    async with toy_app([PLAYED], page=tmp_path / "none") as app, client_of(app) as client:
        for path in ("/", "/play/app.js"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert "make page" in answer.json()["way_out"]
        assert (await client.get("/v1/play")).status_code == 200


async def test_with_keys_the_page_is_open_and_everything_below_v1_is_not(built, monkeypatch):
    monkeypatch.setenv("MODELYARD_API_KEYS", sha256(b"secret").hexdigest())
    async with toy_app([PLAYED], page=built) as app, client_of(app) as client:
        app.state.services["toy"].champion = version(1, project=PLAYED)
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/play/app-4F2QXJ7A.js")).status_code == 200
        for path in ("/v1/play", "/v1/toy/play", "/v1/toy/play/picture"):
            assert (await client.get(path)).status_code == 401
        assert (await client.post("/v1/toy/play", json=order())).status_code == 401
        key = {"x-api-key": "secret"}
        assert (await client.get("/v1/play", headers=key)).status_code == 200
        assert (await client.post("/v1/toy/play", json=order(), headers=key)).status_code == 200


async def test_a_project_describes_its_page_with_its_examples_and_schema():
    async with toy_app([PLAYED, PLAYED_SLOW, replace(TOY, name="plain")]) as app, client_of(app) as client:
        page = (await client.get("/v1/toy/play")).json()
        assert page["question"] == PLAY.question
        assert page["inputs"][0]["kind"] == "number"
        assert [one["request"]["amount_eur"] for one in page["examples"]] == [30.0, 90.0]
        assert (page["route"], page["stream_route"]) == ("/v1/toy/play", None)
        assert page["request_schema"]["properties"]["amount_eur"]["minimum"] == 0
        slow = (await client.get("/v1/slow/play")).json()
        assert (slow["stream_route"], slow["max_rows"]) == ("/v1/slow/play/stream", 2)
        assert (await client.get("/v1/plain/play")).status_code == 404
        assert (await client.post("/v1/plain/play", json=order())).status_code == 404


async def test_the_champion_answers_as_on_its_own_route_and_is_logged_as_any_traffic():
    async with toy_app([PLAYED]) as app, client_of(app) as client:
        app.state.services["toy"].champion = version(4, project=PLAYED)
        played = await client.post("/v1/toy/play", json=order())
        asked = await client.post("/v1/toy/predict", json=order())
        assert played.json() == asked.json()
        assert (played.headers["x-model-version"], played.headers["x-model-alias"]) == ("4", "champion")
        wrong = order(amount_eur=-1)
        answers = [await client.post(f"/v1/toy/{name}", json=wrong) for name in ("play", "predict")]
        assert [one.status_code for one in answers] == [422, 422]
        assert answers[0].json() == answers[1].json()
    assert read_served("toy").rows["role"].to_list() == ["champion", "champion"]


async def test_a_canary_does_not_answer_on_the_page():
    async with toy_app([PLAYED], canary_share=1.0) as app, client_of(app) as client:
        service = app.state.services["toy"]
        service.champion, service.challenger = version(1, project=PLAYED), version(2, 3.0, PLAYED)
        assert (await client.post("/v1/toy/predict", json=order())).headers["x-model-version"] == "2"
        assert (await client.post("/v1/toy/play", json=order())).headers["x-model-version"] == "1"


async def test_without_a_champion_the_challenger_answers_and_does_not_count_as_traffic(shelf):
    shelf.numbers, shelf.given = {"toy": ["7", "5"]}, {("toy", "challenger"): "5"}
    async with toy_app([PLAYED], registry=shelf) as app, client_of(app) as client:
        answer = await client.post("/v1/toy/play", json=order())
        assert (answer.headers["x-model-version"], answer.headers["x-model-alias"]) == ("5", "challenger")
        assert answer.json()["price_eur"] == 150.0
        assert (await client.post("/v1/toy/predict", json=order())).status_code == 503
        (listed,) = (await client.get("/v1/play")).json()["projects"]
        assert (listed["version"], listed["alias"]) == ("5", "challenger")
    rows = read_served("toy").rows
    assert (rows["role"].to_list(), rows["version"].to_list()) == (["play"], ["5"])


async def test_what_was_played_is_not_monitored(shelf):
    from datetime import UTC, datetime, timedelta

    from modelyard.monitoring.windows import Window, served_rows

    shelf.numbers = {"toy": ["5"]}
    async with toy_app([PLAYED], registry=shelf) as app, client_of(app) as client:
        await client.post("/v1/toy/play", json=order())
        app.state.services["toy"].champion = version(5, project=PLAYED)
        await client.post("/v1/toy/play", json=order())
    now = datetime.now(UTC) + timedelta(minutes=1)
    window = Window(now - timedelta(hours=1), now)
    assert served_rows(PLAYED, "5", window).rows["role"].to_list() == ["champion"]


async def test_the_latest_version_that_loads_answers_also_if_its_gate_failed_and_a_newer_one_takes_over(shelf):
    shelf.numbers, shelf.tags = {"toy": ["9", "3"]}, {"3": {"gate": "failed"}}
    async with toy_app([PLAYED], registry=shelf) as app, client_of(app) as client:
        for _ in range(2):
            answer = await client.post("/v1/toy/play", json=order())
            assert (answer.headers["x-model-version"], answer.headers["x-model-alias"]) == ("3", "latest")
        assert shelf.loads == ["9", "3"]  # neither is loaded twice
        shelf.numbers = {"toy": ["10", "9", "3"]}
        answer = await client.post("/v1/toy/play", json=order())
        assert answer.headers["x-model-version"] == "10"
        app.state.services["toy"].champion = version(2, project=PLAYED)
        answer = await client.post("/v1/toy/play", json=order())
        assert (answer.headers["x-model-version"], answer.headers["x-model-alias"]) == ("2", "champion")


async def test_without_any_version_the_answer_says_how_to_train_one(shelf):
    async with toy_app([PLAYED], registry=shelf) as app, client_of(app) as client:
        answer = await client.post("/v1/toy/play", json=order())
        assert answer.status_code == 503
        assert answer.json()["way_out"] == "kedro run --pipeline=toy"
        shelf.numbers = {"toy": ["9"]}
        answer = await client.post("/v1/toy/play", json=order())
        assert (answer.status_code, "damaged" in answer.json()["detail"]) == (503, True)


async def test_a_stream_is_played_by_the_stand_in_too(shelf):
    shelf.numbers = {"slow": ["6"]}
    async with toy_app([PLAYED_SLOW], registry=shelf) as app, client_of(app) as client:
        answer = await client.post("/v1/slow/play/stream", json=order(amount_eur=2))
        assert (answer.headers["x-model-version"], answer.headers["x-model-alias"]) == ("6", "latest")
        assert answer.text.count("data: {") == 3
    assert read_served("slow").rows["role"].to_list() == ["play"]


async def test_what_is_uploaded_on_the_page_is_not_kept():
    contract = replace(
        TOY.contract, media=(Media(name="amount_eur", dtype="uint8", shape=(1,), description="A picture."),)
    )
    api = replace(TOY.api, logged_media=LoggedMedia(share=1.0, retention_days=1))
    keeping = replace(PLAYED, contract=contract, api=api)
    async with toy_app([keeping]) as app, client_of(app) as client:
        app.state.services["toy"].champion = version(1, project=keeping)
        played = await client.post("/v1/toy/play", json=order())
        asked = await client.post("/v1/toy/predict", json=order())
    import polars as pl

    kept = pl.concat([pl.read_parquet(path) for path in media_folder("toy").glob("*.parquet")])
    assert kept["request_id"].to_list() == [asked.headers["x-request-id"]]
    assert played.headers["x-request-id"] not in kept["request_id"].to_list()
