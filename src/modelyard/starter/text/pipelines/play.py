"""The page: an operator's note, and how likely the part fails."""

from __future__ import annotations

from modelyard.play.description import Example, Play, Probability, Text


def examples() -> list[Example]:
    """Returns a note of complaints, one that all is well, and one of both."""
    notes = {
        "A part that complains": "The spindle shakes at full load. Metal dust under the gearbox. The motor is hot.",
        "All is well": "The pump runs quietly. No leak at the pump. Checked again, nothing found.",
        "A little of both": "The spindle shakes at full load. The pump runs quietly. Cleaned the cabinet.",
    }
    return [Example(title=title, request={"note": note}) for title, note in notes.items()]


PLAY = Play(
    question="Will this machine part fail within a week?",
    inputs=[Text(field="note", label="Note on the part", help="In plain text.", max_length=20_000, rows=4)],
    outputs=[Probability(field="failure_probability", label="Probability that it fails within a week")],
    examples=examples,
    meaning="How often a failing part is ranked above a sound one: 0.5 is chance, and 0.9 is good.",
    picture="ranking",
)
"""The page of the project."""
