"""The page: a picture of a part before the model, and how likely the part fails."""

from __future__ import annotations

from modelyard.play.description import Example, Picture, Play, Probability
from modelyard.tasks.images.request_image import png_base64
from pipelines.starter_project.data import FORMAT
from pipelines.starter_project.simulator import SimulationParameters, simulate


def examples() -> list[Example]:
    """Returns a cracked part, a sound one, and one in between, all simulated."""
    rows, pictures = simulate(SimulationParameters(seed=1, n_pictures=30, side=FORMAT.side))
    risk = rows["true_risk"].to_numpy()
    chosen = {
        "A deep crack": (risk.argmax(), "A dark line through the metal."),
        "Sound metal": (risk.argmin(), "Nothing but the grain of brushed metal."),
        "A hairline crack": (abs(risk - 0.5).argmin(), "One in two of such parts fails within the week."),
    }
    return [
        Example(title=title, sentence=sentence, request={"image": png_base64(pictures[row])})
        for title, (row, sentence) in chosen.items()
    ]


PLAY = Play(
    question="Will this machine part fail within a week?",
    inputs=[
        Picture(
            field="image",
            label="Picture of the part",
            help="Grey; the model sees its central square.",
            width=512,
            height=512,
            is_grey=True,
            is_drawn=True,
        ),
    ],
    outputs=[Probability(field="failure_probability", label="Probability that it fails within a week")],
    examples=examples,
    meaning="How often a failing part is ranked above a sound one: 0.5 is chance, and 0.9 is good.",
    picture="ranking",
)
"""The page of the project."""
