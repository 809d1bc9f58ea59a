"""Requests that are damaged or strange, made from good ones and sent to every route of every project.

``MODELYARD_FUZZ_S=30 pytest tests/modelyard/serving/test_mutations.py -s`` sends as many as fit into so many seconds
for each project, from another seed each time, and prints the count.
"""

import gzip
import json
import os
import random
import time
import zlib
from collections import Counter

import pytest

from modelyard.serving.bodies import by_key_model
from modelyard.serving.loaded_version import LoadedVersion
from tests.contract.shelves import all_shelves
from tests.modelyard.serving.every_project import beside, serving, write_features
from tests.mutations import mutated
from tests.pipelines.small_fit import small_of, trained_once

pytestmark = pytest.mark.anyio

AT_MOST = 60
"""Requests for each project in the suite."""

WORDS = (
    b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e400", b"-1e308", b"5e-324", b"9" * 400, b"[]", b"{}", b'""',
    b'"', b"\\", b'"\\ud800"', b'"\\u0000"', b"[" * 60, b"{" * 3, b"]" * 3, b'{"a":' * 30, b",", b":", b"//", b"\x00",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xc0\x80", b'"instances":', b'"0001-01-01T00:00:00+14:00"', b" " * 70_000,
)  # fmt: skip
"""What belongs to JSON, or nearly does, and may stand in a wrong place."""

VALUES = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 5e-324, 1e-300, 3.5e38, -1e300, 1.7e308, 2**31, 2**53 + 1, 2**63 - 1, 2**63,
    10**400, "", " ", "0", "nan", "1e5", "x" * 5_000, "\x00", "𝄞", "2024-13-01T00:00:00Z", "9999-12-31T23:59:59-12:00",
    [], [[]], [0.1] * 300, [None, 1, "a"], {}, {"a": {"b": [1]}}, {"": 0},
)  # fmt: skip
"""Values of every JSON type, ordinary and at the edges."""

KINDS = ("text/plain", "application/xml", "multipart/form-data", "", "application/json; charset=utf-16", "a/b/c", "\t")
PACKINGS = ("gzip", "deflate", "br", "gzip, gzip", "identity", "")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.parametrize("name", [shelves.name for shelves in all_shelves()])
async def test_every_mutation_of_a_request_is_answered(name, session_folder, data_directory, monkeypatch):
    monkeypatch.delenv("MODELYARD_API_KEYS", raising=False)
    small = small_of(name)
    write_features(small)
    model = trained_once(small, session_folder).model
    champion = LoadedVersion(project=small.project, version="1", identity=("1", "small"), model=model)
    seconds = float(os.environ.get("MODELYARD_FUZZ_S", "0"))
    seed = time.time_ns() if seconds else 0
    chance, ends = random.Random(seed), time.monotonic() + seconds
    statuses, waits = Counter(), []
    async with serving([small.project], champion=champion) as client:
        routes = good_requests(small.project)
        for route, good in routes.items():
            answer = await client.post(f"/v1/{name}/{route}", json=good)
            assert answer.status_code in (200, 422), (route, answer.text[:300])
        while time.monotonic() < ends if seconds else statuses.total() < AT_MOST:
            route = chance.choice(list(routes))
            body, headers = strange(routes[route], chance)
            asked = client.post(f"/v1/{name}/{route}", content=body, headers=headers)
            waited, answer = await beside(client, asked)
            waits += waited
            statuses[answer.status_code] += 1
            told = f"mutation {statuses.total()} of seed {seed}, {route}, {headers}: {body[:400]!r}"
            assert_is_an_answer(answer, told)
    if seconds:
        slow = sorted(waits)[int(len(waits) * 0.99)]
        print(f"\n{name}: {statuses.total():,}, {dict(statuses)}; /healthz {slow * 1000:.0f} ms at p99")  # noqa: T201  # a long run's result
    assert {200, 422} <= statuses.keys(), f"mutations that teach nothing: {dict(statuses)}"


def good_requests(project):
    """Each route, and a body that it takes."""
    example = project.api.example.model_dump(mode="json")
    routes = {"predict": example, "invocations": {"dataframe_records": [example, example]}}
    if project.api.stream is not None:
        routes["stream"] = example
    if (keyed := by_key_model(project)) is not None:
        fields = keyed.model_fields
        routes["predict_by_key"] = {
            name: example.get(name, 1 if field.annotation is int else "1")
            for name, field in fields.items()
            if field.is_required() or name in example
        }
    return routes


def in_another_form(body, chance):
    """The body as another form of the same rows; what does not fit the route is a mutation, too."""
    row = body["dataframe_records"][0] if "dataframe_records" in body else body
    match chance.randrange(6):
        case 0:
            return [row] * chance.choice((1, 3))
        case 1:
            return {"instances": [row]}
        case 2:
            return {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}
        case 3:
            return {"inputs": {name: [value] for name, value in row.items()}}
        case _:
            return body


def with_strange_values(value, chance):
    """The JSON value with some of what is in it replaced, left out, added or nested."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        made = dict(value)
        name = chance.choice(list(made))
        match chance.randrange(8):
            case 0:
                del made[name]
            case 1:
                made[chance.choice(("", "instances", "__class__", name.upper(), "x" * 300))] = chance.choice(VALUES)
            case _:
                made[name] = with_strange_values(made[name], chance)
        return made
    if isinstance(value, list) and value and chance.random() < 0.7:
        made = list(value)
        at = chance.randrange(len(made))
        made[at : at + chance.choice((0, 1, 1, 1, len(made)))] = [with_strange_values(made[at], chance)]
        return made
    if isinstance(value, str) and value and chance.random() < 0.3:
        return mutated(value.encode(), chance).decode("utf-8", "replace")
    return chance.choice(VALUES)


def strange(good, chance):
    """Body and headers of a request that is nearly a good one."""
    value = in_another_form(good, chance)
    for _ in range(chance.choice((0, 1, 1, 2))):
        value = with_strange_values(value, chance)
    body = json.dumps(value).encode()
    if chance.random() < 0.4:
        body = mutated(body, chance, WORDS)
    if chance.random() < 0.05 and body.startswith(b"{"):
        body = body[:1] + body[1:].rstrip(b"}") + b"," + body[1:]  # every key twice
    if chance.random() < 0.02:
        body = chance.choice((b" ", b"[", b'{"a":', b"1,")) * chance.choice((100, 20_000, 400_000))
    headers = {"content-type": "application/json"}
    if chance.random() < 0.05:
        headers["content-type"] = chance.choice(KINDS)
    if chance.random() < 0.2:
        headers["content-encoding"] = chance.choice(PACKINGS)
        if chance.random() < 0.1:
            body = gzip.compress(bytes(20_000_000), 1)
        elif chance.random() < 0.8:
            body = zlib.compress(body) if headers["content-encoding"] == "deflate" else gzip.compress(body, 1)
        if chance.random() < 0.2:
            body = mutated(body, chance)
    return body, headers


def assert_is_an_answer(answer, told):
    """It is a good answer, or says in few words what is wrong."""
    assert answer.status_code in (200, 413, 415, 422), (told, answer.text[:300])
    if answer.headers["content-type"].startswith("text/event-stream"):
        assert answer.text.endswith("event: end\ndata: {}\n\n"), told
        return
    content = json.loads(answer.text, parse_constant=pytest.fail)
    if answer.status_code != 200:
        assert len(answer.content) < 20_000, told
        assert content["detail"], told
        assert isinstance(content["detail"], str) or len(content["detail"]) <= 20, told
