"""The page: a part's age and its latest readings, to be drawn, and how likely it fails."""

from __future__ import annotations

from modelyard.play.description import Example, Number, Play, Probability, Series


def examples() -> list[Example]:
    """Returns a worn part, a sound one, and one that a hot week has shaken."""
    return [
        _example("A worn part", "Warmer every week, and it shakes.", 210.0, [64, 67, 69, 72], [4.0, 4.6, 5.3, 6.0]),
        _example("A sound part", "New, cool and quiet.", 28.0, [55, 56, 55, 57], [2.1, 1.9, 2.2, 2.0]),
        _example("One hot week", "Only the temperature rose.", 90.0, [57, 58, 57, 66], [2.3, 2.2, 2.4, 2.3]),
    ]


def _example(title: str, sentence: str, age_d: float, temperatures: list[float], vibrations: list[float]) -> Example:
    request = {"age_d": age_d, "temperatures_c": temperatures, "vibrations_mm_s": vibrations}
    return Example(title=title, sentence=sentence, request=request)


PLAY = Play(
    question="Will this machine part fail within a week?",
    inputs=[
        Number(field="age_d", label="Age", help="Since it was installed.", minimum=0, maximum=1000, step=7, unit="d"),
        Series(
            field="temperatures_c",
            label="Temperature",
            help="Weekly, the latest last.",
            unit="°C",
            minimum=30,
            maximum=110,
            shortest=1,
            longest=4,
            step="week",
            follows=["vibrations_mm_s"],
        ),
        Series(
            field="vibrations_mm_s",
            label="Vibration",
            help="Weekly, the latest last.",
            unit="mm/s",
            minimum=0,
            maximum=15,
            shortest=1,
            longest=4,
            step="week",
            follows=["temperatures_c"],
        ),
    ],
    outputs=[Probability(field="failure_probability", label="Probability that it fails within a week")],
    examples=examples,
    meaning="How often a failing part is ranked above a sound one: 0.5 is chance, and 0.9 is good.",
    picture="ranking",
)
"""The page of the project."""
