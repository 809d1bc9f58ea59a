"""A small server with every kind of input and output, whose answers follow from its requests by simple rules."""

import asyncio
import base64
import contextlib
import io
import json
import math
import threading
import time
from datetime import UTC, datetime, timedelta

import mido
import numpy as np
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from modelyard.play import description as d
from modelyard.play.responses import Gallery, GalleryEntry, MetricValue, PlayPage, PublishedValue
from scripts.play_page import BUILT

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _discs(side, row, column):
    rows, columns = np.mgrid[:side, :side]
    near = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (side / 5) ** 2)
    return (40 + 200 * near).astype(np.uint8)


def _card(request):
    if request["amount"] > 5000:
        message = "the largest amount is 5000"
        return JSONResponse({"detail": [{"loc": ["body", "amount"], "msg": message}]}, 422)
    hour = int(request["time"][11:13])
    log_odds = math.log10(1 + request["amount"]) - 3 + 1.4 * (hour < 6) + request["risk"]
    probability = 1 / (1 + math.exp(-2 * log_odds))
    reasons = [f"it was paid at {hour} o'clock"] * (hour < 6) + ["the terminal has a bad record"] * (
        request["risk"] > 0.5
    )
    return {
        "probability": probability,
        "is_alert": probability > 0.5,
        "reasons": reasons,
        "merchant": request["merchant"],
    }


def _picture(request):
    picture = Image.open(io.BytesIO(base64.b64decode(request["image"])))
    grey = np.asarray(picture.convert("L"), dtype=float) / 255
    bright = float(grey.mean())
    side = Image.fromarray((grey * 255).astype(np.uint8)).resize((14, 14))
    shares = {"round": bright, "empty": (1 - bright) / 2, "other": (1 - bright) / 2}
    where = (np.asarray(side, dtype=float) / 255).round(3).tolist()
    return {
        "classes": shares,
        "answer": "round" if bright > 0.3 else "empty",
        "where": where,
        "pixels": float(np.prod(picture.size)),
        "mode": picture.mode,
    }


def _forecast(request):
    values, lead = request["values"], request["lead"]
    if lead > 12:
        return dict.fromkeys(("quantiles", "mean", "low", "high", "rule"))
    mean = values[-1] * 0.9**lead
    spread = 0.1 + 0.15 * math.sqrt(lead)
    quantiles = [mean + spread * z for z in (-1.645, -0.674, 0, 0.674, 1.645)]
    return {"quantiles": quantiles, "mean": mean, "low": quantiles[0], "high": quantiles[-1], "rule": values[-1] * 0.6}


def _stock(request):
    rise = request["closes"][-1] / request["closes"][0] - 1
    return {"up_probability": 1 / (1 + math.exp(-10 * rise)), "days_seen": len(request["days"])}


def _continued(request):
    frames = [[int(word) for word in frame.split()] for frame in request["frames"]]
    rng = np.random.default_rng(request["seed"])
    for number in range(request["count"]):
        yield " ".join(str(pitch + int(rng.integers(-2, 3))) for pitch in frames[number % len(frames)])


def _music(request):
    frames = list(_continued(request))
    track = mido.MidiTrack()
    for frame in frames:
        track.extend(mido.Message("note_on", note=int(word), time=0) for word in frame.split())
        track.extend(
            mido.Message("note_off", note=int(word), time=480 * (number == 0))
            for number, word in enumerate(frame.split())
        )
    buffer = io.BytesIO()
    mido.MidiFile(type=0, tracks=[track]).save(file=buffer)
    return {"frames": frames, "midi": base64.b64encode(buffer.getvalue()).decode(), "n_copied": 3}


def _series(length):
    return [round(math.sin(number / 5) + 0.3 * math.sin(number / 2), 3) for number in range(length)]


def _examples(requests):
    return lambda: [
        d.Example(title=f"Example {number}", sentence=f"What is to be seen in number {number}.", request=request)
        for number, request in enumerate(requests, 1)
    ]


def _play(question, inputs, outputs, requests, **more):
    return d.Play(
        question=question,
        inputs=inputs,
        outputs=outputs,
        examples=_examples(requests),
        meaning="Of 100 alerts as many are right; 70 is good.",
        picture="figure",
        **more,
    )


_DAYS = [(datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number)).date().isoformat() for number in range(40)]
_CLOSES = [round(100 + 6 * math.sin(number / 6) + number / 8, 2) for number in range(40)]
_CARD = {
    "amount": 189.9,
    "risk": 0.4,
    "time": "2024-05-17T19:40:00Z",
    "place": "shop",
    "merchant": "Bakery",
    "is_abroad": False,
    "ratio": 4.7475,
    "mean": 40.0,
    "recent": [12.0, 189.9],
}

PLAYS = {
    "card": _play(
        "Is this payment a fraud?",
        [
            d.Number(
                field="amount",
                label="Amount",
                unit="EUR",
                minimum=0,
                maximum=10_000,
                step=0.01,
                is_logarithmic=True,
                help="What was paid.",
                sets=["recent"],
                sets_ratios={"ratio": "mean"},
            ),
            d.Number(field="risk", label="Share of frauds at the terminal", minimum=0, maximum=1, step=0.01),
            d.Moment(field="time", label="When"),
            d.Choice(field="place", label="Where", options={"shop": "In a shop", "web": "Online"}),
            d.Choice(field="is_abroad", label="Abroad", options={"true": "Yes", "false": "No"}, is_advanced=True),
            d.Text(field="merchant", label="Merchant", max_length=40, is_advanced=True),
        ],
        [
            d.Probability(field="probability", label="Probability of fraud", help="Calibrated."),
            d.Verdict(
                field="is_alert",
                label="Verdict",
                tones={"true": "bad", "false": "good"},
                names={"true": "look at it", "false": "let it pass"},
            ),
            d.Reasons(field="reasons", label="Why", if_none="Nothing about it is unusual."),
        ],
        [_CARD, _CARD | {"amount": 900.0, "time": "2024-05-17T03:10:00Z", "risk": 0.8}, _CARD | {"amount": 4.2}],
    ),
    "picture": _play(
        "What is on the picture?",
        [d.Picture(field="image", label="Picture", width=64, height=64, is_grey=True, is_exact=True, is_drawn=True)],
        [
            d.Verdict(field="answer", label="Answer", tones={"round": "good", "empty": "unsure"}),
            d.Probabilities(field="classes", label="Classes", names={"round": "a round thing"}, most=2),
            d.HeatMap(field="where", label="Where the model looked", picture_field="image"),
            d.Measure(field="pixels", label="Pixels", decimals=0),
            d.Measure(field="mode", label="Mode"),
        ],
        [{"image": png(_discs(64, *place))} for place in ((32, 32), (12, 50), (5, 5))],
        caution="It is no medical device.",
    ),
    "forecast": _play(
        "How does it go on?",
        [
            d.Series(
                field="values",
                label="Anomaly",
                unit="°C",
                minimum=-20,
                maximum=20,
                shortest=3,
                longest=200,
                step_field="kind",
                steps={"monthly": "month", "daily": "day"},
                end_field="end",
                follows=["other"],
            ),
            d.Number(field="lead", label="Steps ahead", minimum=1, maximum=12, step=1),
        ],
        [
            d.FanChart(
                field="quantiles",
                label="Forecast",
                history_field="values",
                lead_field="lead",
                leads=[1, 2, 3, 6, 9, 12, 24],
                levels=[0.05, 0.25, 0.5, 0.75, 0.95],
                unit="°C",
                baseline_field="rule",
            ),
            d.Measure(field="mean", label="Middle", unit="°C", low_field="low", high_field="high"),
        ],
        [
            {"values": _series(length), "other": [0.0] * length, "end": "2024-03-31T00:00:00Z", "kind": kind, "lead": 6}
            for length, kind in ((60, "monthly"), (60, "daily"), (24, "monthly"))
        ],
    ),
    "stock": _play(
        "Does it rise tomorrow?",
        [
            d.Bars(
                field="closes",
                label="Prices",
                days_field="days",
                opens_field="opens",
                highs_field="highs",
                lows_field="lows",
                volumes_field="volumes",
                follows=["market"],
                shortest=5,
                longest=250,
                unit="USD",
            )
        ],
        [
            d.Probability(field="up_probability", label="Probability of a rise"),
            d.Measure(field="days_seen", label="Days", decimals=0),
        ],
        [
            {
                "days": _DAYS,
                "closes": _CLOSES,
                "opens": [100.0, *_CLOSES[:-1]],
                "highs": [close + 1.5 for close in _CLOSES],
                "lows": [close - 2 for close in _CLOSES],
                "volumes": [],
                "market": [0.0] * 40,
            }
        ]
        * 3,
    ),
    "music": _play(
        "How does the piece go on?",
        [
            d.PianoRoll(field="frames", label="Beginning", lowest=21, highest=108, seconds_per_frame=0.25, longest=64),
            d.Number(field="count", label="Frames to compose", minimum=4, maximum=64, step=1),
            d.Number(field="seed", label="Seed", minimum=0, maximum=100, step=1, is_advanced=True),
        ],
        [
            d.Music(
                field="frames",
                label="The piece",
                beginning_field="frames",
                midi_field="midi",
                lowest=21,
                highest=108,
                seconds_per_frame=0.25,
                is_streamed=True,
            ),
            d.Measure(field="n_copied", label="Longest run that a training piece has, too", unit="frames", decimals=0),
        ],
        [
            {"frames": ["48 55 64 72", "53 57 65 72", "55 59 65 71", "48 55 64 72"], "count": 24, "seed": seed}
            for seed in (1, 2, 3)
        ],
    ),
}
ANSWERS = {"card": _card, "picture": _picture, "forecast": _forecast, "stock": _stock, "music": _music}


def gallery():
    """Every state that a project can be in."""
    states = {
        "card": ("3", "champion", "none"),
        "picture": ("1", "challenger", "unknown"),
        "forecast": ("2", "latest", "warning"),
        "stock": ("4", "champion", "drifted"),
        "music": ("1", "challenger", "unknown"),
        "not_trained": (None, None, "unknown"),
        "pageless": ("1", "champion", "none"),
    }
    entries = []
    for name, (version, alias, drift) in states.items():
        metric = MetricValue(
            name="average_precision",
            value=0.709,
            low=0.655,
            high=0.760,
            floor=0.134,
            greater_is_better=True,
            meaning="Of 100 alerts as many are right.",
        )
        entries.append(
            GalleryEntry(
                project=name,
                title=name.replace("_", " ").capitalize(),
                question=PLAYS[name].question if name in PLAYS else "",
                has_page=name != "pageless",
                version=version,
                alias=alias,
                gate=version and "passed",
                metric=metric if version else None,
                published=[PublishedValue(name="Random forest", value=0.658, source="handbook")] if version else [],
                drift=drift,
                trained_at=datetime.now(UTC) - timedelta(hours=5) if version else None,
                picture=f"/v1/{name}/play/picture" if version and name != "pageless" else None,
                data="simulated" if version else None,
                command=f"kedro run --pipeline={name}",
            )
        )
    return Gallery(projects=entries)


class SmallServer:
    """The routes of the page, and what was asked of them.

    Args:
        key: API key that every route of a model asks for; empty: none.
    """

    def __init__(self, key=""):
        self.key, self.asked, self.static = key, [], []
        self.down = None

    def app(self):
        return Starlette(
            routes=[
                Route("/", self._index),
                Route("/play/{file}", self._static),
                Route("/v1/play", self._gallery),
                Route("/v1/{project}/play", self._page),
                Route("/v1/{project}/play", self._answer, methods=["POST"]),
                Route("/v1/{project}/play/stream", self._stream, methods=["POST"]),
                Route("/v1/{project}/play/picture", self._figure),
            ]
        )

    async def _index(self, request):
        return FileResponse(BUILT / "index.html", headers={"content-security-policy": POLICY})

    async def _static(self, request):
        self.static.append(request.path_params["file"])
        return FileResponse(BUILT / request.path_params["file"], headers={"content-security-policy": POLICY})

    def _refused(self, request):
        if self.key and request.headers.get("x-api-key") != self.key:
            return JSONResponse({"detail": "An API key is needed."}, 401)
        return self.down

    async def _gallery(self, request):
        return self._refused(request) or Response(gallery().model_dump_json(), media_type="application/json")

    async def _page(self, request):
        if refused := self._refused(request):
            return refused
        name = request.path_params["project"]
        play = PLAYS[name]
        page = PlayPage(
            project=name,
            title=name.capitalize(),
            **play.model_dump(exclude={"examples"}),
            examples=play.examples(),
            route=f"/v1/{name}/play",
            stream_route=f"/v1/{name}/play/stream" if name == "music" else None,
            max_rows=5,
            request_schema={},
        )
        return Response(page.model_dump_json(), media_type="application/json")

    async def _answer(self, request):
        if refused := self._refused(request):
            return refused
        name, body = request.path_params["project"], await request.json()
        self.asked.append((name, body))
        rows = body if isinstance(body, list) else [body]
        answers = [ANSWERS[name](row) for row in rows]
        if isinstance(answers[0], Response):
            return answers[0]
        headers = {"x-model-version": "3", "x-model-alias": "champion" if name == "card" else "challenger"}
        return JSONResponse({"predictions": answers} if isinstance(body, list) else answers[0], headers=headers)

    async def _stream(self, request):
        body = await request.json()

        async def events():
            for frame in _continued(body):
                yield f"data: {json.dumps(frame)}\n\n"
                await asyncio.sleep(0.02)
            yield "event: end\ndata: {}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _figure(self, request):
        if refused := self._refused(request):
            return refused
        return Response(base64.b64decode(png(_discs(120, 60, 60))), media_type="image/png")


@contextlib.contextmanager
def running(app):
    """The address of a server of the app on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)
