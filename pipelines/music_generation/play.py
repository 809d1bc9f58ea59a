"""The page: a beginning on a piano roll, and the piece that the model makes of it, to be heard while it is composed."""

from __future__ import annotations

from modelyard.play.description import Example, Measure, Music, Number, PianoRoll, Play
from pipelines.music_generation.rolls import LOWEST, N_KEYS
from pipelines.music_generation.serve import EXAMPLE

_HIGHEST = LOWEST + N_KEYS - 1
_SECONDS_PER_FRAME = 0.3

_CHORALE = (
    *("43 59 62 67", "43 59 62 67", "50 57 66 69", "52 59 67 71"),
    *("48 60 64 72", "47 62 67 71", "45 60 64 69", "50 57 66 69"),
)
"""Made up: a beginning in G major, the bass against the melody, that halts on the dominant."""

_SCALE = ("60", "62", "64", "65", "67", "69", "71", "72")


def examples() -> list[Example]:
    """Returns a cadence, the beginning of a chorale, and a scale that asks for voices."""
    return [
        Example(
            title="A cadence",
            sentence="Four chords in C major, and home again; what follows?",
            request=EXAMPLE.model_dump(mode="json"),
        ),
        Example(
            title="The beginning of a chorale",
            sentence="Made up, not Bach's: eight chords in G major that stop half-way.",
            request=_request(_CHORALE, seed=3),
        ),
        Example(
            title="A bare scale",
            sentence="One voice climbs from C to C; the model learnt four voices and has to find the others.",
            request=_request(_SCALE, seed=5),
        ),
    ]


def _request(frames: tuple[str, ...], *, seed: int) -> dict[str, object]:
    return {"frames": list(frames), "n_frames": 48, "temperature": 0.9, "top_p": 1.0, "seed": seed}


PLAY = Play(
    question="How might this piece go on?",
    inputs=[
        PianoRoll(
            field="frames",
            label="Beginning",
            help="Click notes; each column is a frame, an eighth or a quarter.",
            lowest=LOWEST,
            highest=_HIGHEST,
            seconds_per_frame=_SECONDS_PER_FRAME,
            longest=256,
        ),
        Number(field="n_frames", label="Frames to compose", minimum=8, maximum=256, step=8),
        Number(
            field="temperature",
            label="Temperature",
            help="1: as learnt; below: safer; above: bolder.",
            minimum=0.1,
            maximum=2,
            step=0.05,
        ),
        Number(
            field="seed",
            label="Seed",
            help="Another seed, another piece; the same seed, the same piece.",
            minimum=0,
            maximum=999,
            step=1,
        ),
        Number(
            field="top_p",
            label="Top p",
            help="Only the likeliest next notes whose chances add up to it are drawn from.",
            minimum=0.1,
            maximum=1,
            step=0.05,
            is_advanced=True,
        ),
    ],
    outputs=[
        Music(
            field="frames",
            label="Continuation",
            beginning_field="frames",
            midi_field="midi",
            lowest=LOWEST,
            highest=_HIGHEST,
            seconds_per_frame=_SECONDS_PER_FRAME,
            is_streamed=True,
        ),
        Measure(
            field="nll_per_frame",
            label="How surprising the beginning was",
            help="In nats for each frame; pieces like those it learnt from have about as much as the test pieces.",
            unit="nats per frame",
        ),
        Measure(
            field="n_copied_frames",
            label="Longest run that a training piece has, too",
            help="More than a phrase, and it recites instead of composing.",
            unit="frames",
            decimals=0,
        ),
    ],
    examples=examples,
    meaning="How surprising each next frame of a test piece is, in nats: less is better; 8 is good on Bach's chorales.",
    picture="piano_rolls",
)
"""The page of the project."""
