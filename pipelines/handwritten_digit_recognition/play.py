"""The page to try the model on: draw a digit, or several in a row, and see the number, and what else it might be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modelyard.play.description import Example, Measure, Picture, Play, Probabilities, Verdict
from modelyard.tasks.images.request_image import png_base64
from pipelines.handwritten_digit_recognition.preparation import draw_strokes
from pipelines.handwritten_digit_recognition.serve import UNSURE
from pipelines.handwritten_digit_recognition.simulator import STRANGER, scribble, strokes_of, write

_WIDTH, _HEIGHT, _PEN = 420, 210, 11


def examples() -> list[Example]:
    """Returns a number, a digit in white on black, one between two digits, and a scribble; all simulated."""
    rng = np.random.default_rng(4)
    number = _drawn([write(strokes_of(digit), rng) for digit in (2, 0, 6)])
    between = _drawn([write(strokes_of(4, 0.55), rng)])
    shown = [
        ("A number", "Three digits in a row are cut apart and read one by one.", number),
        (
            "White on black",
            "Where the border is dark, the ink is what is light.",
            255 - _drawn([write(strokes_of(5), rng)]),
        ),
        ("A 4 or a 9?", "The gap at the top is half closed: two readings are likely.", between),
        ("A scribble", "A sure number would be a wrong one.", _drawn([scribble(rng)])),
    ]
    return [
        Example(title=title, sentence=sentence, request={"image": png_base64(pixels)})
        for title, sentence, pixels in shown
    ]


def _drawn(digits: list[list[NDArray[np.float64]]]) -> NDArray[np.uint8]:
    """Returns digits from left to right, dark on white, shape (H, W)."""
    place, size = _WIDTH / len(digits), 0.55 * _HEIGHT
    strokes = [
        points * size + np.array([place * (number + 0.5), _HEIGHT / 2])
        for number, digit in enumerate(digits)
        for points in digit
    ]
    return (255 - draw_strokes(strokes, _WIDTH, _HEIGHT, _PEN)).astype(np.uint8)


PLAY = Play(
    question="Which digit, or which number, is written here?",
    inputs=[
        Picture(
            field="image",
            label="Your digits",
            help="Draw large, one digit or several in a row that do not touch; photos of dark ink on paper work, too.",
            width=_WIDTH,
            height=_HEIGHT,
            is_drawn=True,
        )
    ],
    outputs=[
        Verdict(field="answer", label="Answer", tones={UNSURE: "unsure", STRANGER: "bad"}),
        Probabilities(field="probabilities", label="Likeliest readings", most=5),
        Measure(field="confidence", label="Confidence in the likeliest reading"),
    ],
    examples=examples,
    meaning="Share of the digits that are read right; with ten digits chance gets 0.1, and 0.995 is good.",
    caution="Do not book money or medicine by it: one digit in some hundred is read wrongly, also where it is sure.",
    picture="redrawn",
)
"""What the page shows."""
