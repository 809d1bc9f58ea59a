"""What no client may do to the server, tried on the routes of every project: see docs/serving.md."""

import json
import random
import time

import pytest

from modelyard.monitoring.reference import MonitorParameters, summarise_reference
from modelyard.monitoring.verdict import judge
from modelyard.projects import load_project
from modelyard.serving.log_segments import read_served
from tests.modelyard.serving.every_project import (
    PROJECTS,
    as_json,
    beside,
    changed,
    example,
    fields_of,
    packed,
    served,
    times_of,
)

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("name", PROJECTS)]

JSON = {"content-type": "application/json"}
FORMS = {
    "predict": lambda body: b"[" + body + b"]",
    "invocations": lambda body: b'{"dataframe_records": [' + body + b"]}",
    "predict_by_key": lambda body: body,
}
"""Each route, and how it takes one row."""


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def _folder(data_directory, monkeypatch):
    monkeypatch.delenv("MODELYARD_API_KEYS", raising=False)


async def post(client, name, body, route="predict", **headers):
    return await client.post(f"/v1/{name}/{route}", content=body, headers=JSON | headers)


async def refused(client, name, body, field, routes=("predict", "invocations")):
    """The row is 422 on the routes, and the field is named."""
    for route in routes:
        answer = await post(client, name, FORMS[route](body), route)
        assert answer.status_code == 422, (route, body[:200], answer.text[:500])
        assert any(field in problem["loc"] for problem in answer.json()["detail"]), answer.text[:500]


async def test_the_example_is_read_in_every_form(name):
    body = json.dumps(example(name)).encode()
    async with served(name) as client:
        for route in ("predict", "invocations"):
            assert (await post(client, name, FORMS[route](body), route)).status_code == 200
        assert (await post(client, name, body)).status_code == 200
        assert (await post(client, name, b"\xef\xbb\xbf" + body)).status_code == 200
        assert (await post(client, name, packed(body), **{"content-encoding": "gzip"})).status_code == 200
        columns = b'{"dataframe_split": {"columns": %s, "data": [%s]}}' % (
            json.dumps(list(example(name))).encode(),
            json.dumps(list(example(name).values())).encode(),
        )
        assert (await post(client, name, columns, "invocations")).status_code == 200
        lists = json.dumps({"inputs": {field: [value] for field, value in example(name).items()}}).encode()
        assert (await post(client, name, lists, "invocations")).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/csv", "application/xml"])
async def test_other_types_are_415(name, kind):
    body = json.dumps(example(name)).encode()
    async with served(name) as client:
        for route in ("predict", "invocations", "predict_by_key", "stream"):
            answer = await client.post(f"/v1/{name}/{route}", content=body, headers={"content-type": kind})
            assert answer.status_code in (415, 404)
        assert (await post(client, name, body, **{"content-encoding": "br"})).status_code == 415
        assert (await post(client, name, b"no gzip", **{"content-encoding": "gzip"})).status_code == 415


async def test_what_unpacks_to_too_much_is_413_and_is_not_unpacked(name):
    bomb = packed(b" " * 300_000_000)
    async with served(name) as client:
        started = time.process_time()
        answer = await post(client, name, bomb, **{"content-encoding": "gzip"})
        assert answer.status_code == 413
        assert time.process_time() - started < 1


async def test_true_is_no_number_and_a_number_is_no_time(name):
    async with served(name) as client:
        for field, is_list in fields_of(name, "integer", "number"):
            value = example(name)[field]
            with_bool = [*value[:-1], True] if is_list and value else [True] if is_list else True
            await refused(client, name, json.dumps(changed(example(name), **{field: with_bool})).encode(), field)
        for field in times_of(name):
            for value in (0, True, 1e9, "1716000000", "-1.5"):
                await refused(client, name, json.dumps(changed(example(name), **{field: value})).encode(), field)


async def test_integers_beyond_64_bits_are_422(name):
    texts = {field for field, _ in fields_of(name, "string")}  # an identifier that takes text has any number of digits
    async with served(name) as client:
        for field, is_list in fields_of(name, "integer"):
            if field in texts:
                continue
            for value in (2**63, -(2**63) - 1, 10**400, "9223372036854775808"):
                body = changed(example(name), **{field: [value] if is_list else value})
                await refused(client, name, json.dumps(body).encode(), field)


async def test_numbers_that_json_does_not_have_are_422(name):
    async with served(name) as client:
        for field, is_list in fields_of(name, "number"):
            for text in ("1e400", "-1e400"):
                await refused(client, name, with_text(name, field, is_list, text), field)
            for text in ("NaN", "Infinity", "-Infinity", '"inf"', '"nan"'):
                body = with_text(name, field, is_list, text)
                assert (await post(client, name, body)).status_code == 422


def with_text(name, field, is_list, text):
    """The example with a text in place of a value, or of the first one of a list."""
    if not is_list:
        return as_json(example(name), **{field: text})
    rest = (example(name)[field] or [0.0])[1:]
    return as_json(example(name), **{field: f"[{', '.join([text, *map(str, rest)])}]"})


async def test_times_at_the_edges_of_the_calendar(name):
    async with served(name) as client:
        for field in times_of(name):
            for value in ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+14:00"):
                await refused(client, name, json.dumps(changed(example(name), **{field: value})).encode(), field)
            for value in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2024-01-02T03:04:05+05:45"):
                body = json.dumps(changed(example(name), **{field: value})).encode()
                assert (await post(client, name, body)).status_code in (200, 422)
            assert (await post(client, name, body)).status_code == 200


async def test_every_optional_field_may_be_left_out_or_is_422(name):
    async with served(name) as client:
        for field in example(name):
            body = {other: value for other, value in example(name).items() if other != field}
            for sent in (body, body | {field: None}):
                answer = await post(client, name, json.dumps(sent).encode())
                assert answer.status_code in (200, 422), (field, answer.text[:500])
        required = {one for one, f in load_project(name).api.request.model_fields.items() if f.is_required()}
        least = json.dumps({field: value for field, value in example(name).items() if field in required}).encode()
        assert (await post(client, name, least)).status_code in (200, 422)


def rows_of_ones(n):
    return b"[" + b",".join([b"1"] * n) + b"]"


def keys(n):
    return b"{" + b",".join(b'"k%d":0' % number for number in range(n)) + b"}"


MUCH = {
    "rows of nothing": rows_of_ones(400_000),
    "empty rows": b"[" + b"{}," * 400_000 + b"{}]",
    "unknown keys": keys(700_000),
    "a row of unknown keys": b"[" + keys(500_000) + b"]",
    "a nested list": b"[[" + b"[]," * 2_000_000 + b"1]]",
    "brackets": b"[" * 7_000_000,
    "quotes": b'["' + b'\\"' * 3_500_000 + b'"]',
    "texts": b'{"a":[' + b'"",' * 2_000_000 + b'""]}',
    "digits": b'{"a":' + b"1" * 7_000_000 + b"}",
    "blanks": b" " * 7_000_000 + b"[",
    "columns": b'{"inputs": {"a": %s}}' % rows_of_ones(3_000_000),
    "split": b'{"dataframe_split": {"columns": ["a"], "data": [' + b"[1]," * 1_500_000 + b"[1]]}}",
    "wide split": b'{"dataframe_split": {"columns": %s, "data": [%s]}}' % (rows_of_ones(9), rows_of_ones(2_000_000)),
    "records": b'{"dataframe_records": ' + rows_of_ones(3_000_000) + b"}",
}


def heavy_bodies(name):
    """Bodies that stopped a server once, and their relatives."""
    bodies = dict(MUCH)
    for field, is_list in fields_of(name, "number", "integer", "string"):
        if is_list:
            for what, entry in (("numbers", b"0.125"), ("wrong entries", b"{}"), ("texts", b'"x"')):
                many = b"[" + b",".join([entry] * (7_000_000 // (len(entry) + 1))) + b"]"
                bodies[f"{field} of {what}"] = as_json(example(name), **{field: many.decode()})
                some = b"[" + b",".join([entry] * 19_000) + b"]"
                bodies[f"{field} of 19,000 {what}"] = as_json(example(name), **{field: some.decode()})
    row = json.dumps(example(name)).encode()
    bodies["valid rows"] = b"[" + b",".join([row] * min(1000, 7_900_000 // (len(row) + 1))) + b"]"
    return bodies


async def test_a_heavy_request_is_refused_shortly_and_holds_nobody_up(name):
    async with served(name, timeout_s=5) as client:
        for what, body in heavy_bodies(name).items():
            for route in ("predict", "invocations", "predict_by_key"):
                waits, answer = await beside(client, post(client, name, body, route))
                assert answer.status_code in (200, 404, 413, 422, 503, 504), (what, answer.text[:300])
                assert len(answer.content) < 200_000, what
                if answer.status_code == 422 and isinstance(detail := answer.json()["detail"], list):
                    assert len(detail) <= 20
                assert waits[int(len(waits) * 0.99) - 1] < 0.1, (what, route, waits[-3:])


EDGES = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59.999999-12:00")
EXTREMES = (
    *EDGES,
    0,
    -0.0,
    5e-324,
    1e-300,
    -1e300,
    1e300,
    1.7e308,
    1e18,
    -1e18,
    2**62,
    1e-9,
    65536,
    -1,
    "",
    "0",
    " ",
    "\x00",
    "𝄞",
)


def mutated(request, chance):
    """The request with a few of its values replaced."""
    made = changed(request)
    for field in chance.sample(list(made), chance.randint(1, min(3, len(made)))):
        value = made[field]
        if isinstance(value, list) and value and chance.random() < 0.8:
            for _ in range(chance.choice((1, 1, 3, len(value)))):
                value[chance.randrange(len(value))] = chance.choice(EXTREMES)
        elif isinstance(value, list) or chance.random() < 0.2:
            made[field] = chance.choice(([], None, value[:1] if isinstance(value, list) else None))
        else:
            made[field] = chance.choice((*EXTREMES, None))
    return made


async def test_no_value_is_a_server_error_and_what_is_answered_can_be_read_back(name):
    chance = random.Random(name)
    n_answered = n_refused = 0
    async with served(name) as client:
        for _ in range(40):
            assert (await post(client, name, json.dumps(example(name)).encode())).status_code == 200
        for _ in range(300):
            request = mutated(example(name), chance)
            answer = await post(client, name, json.dumps(request).encode())
            assert answer.status_code in (200, 422), (request, answer.text[:500])
            n_answered += answer.status_code == 200
            n_refused += answer.status_code == 422
    assert min(n_answered, n_refused) >= 3
    rows, n_unreadable = read_served(name)
    assert (rows.height, n_unreadable) == (n_answered + 40, 0)
    verdict = judge(load_project(name), reference_of(name, rows.head(40)), rows, MonitorParameters(min_rows=20))
    assert verdict["n_rows"] == rows.height
    assert json.dumps(verdict)


def reference_of(name, rows):
    """A reference of the rows of the example."""
    project = load_project(name)
    return summarise_reference(project, rows.drop("score"), rows.select("score"), rows, MonitorParameters()).summary


async def test_a_body_that_is_no_json_is_422(name):
    body = json.dumps(example(name)).encode()
    async with served(name) as client:
        for broken in (
            b"",
            b"[",
            body[:-1],
            body + b"x",
            b"nonsense",
            b"\xff\xfe{",
            b"null",
            b"[null]",
            b'"a"',
            b"{}{}",
        ):
            for route in ("predict", "invocations"):
                assert (await post(client, name, broken, route)).status_code == 422, broken[:50]
