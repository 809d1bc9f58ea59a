"""The page to try the model on: drop a picture, see the class, how sure the model is, and where it looked."""

from __future__ import annotations

from modelyard.play.description import Example, HeatMap, Measure, Picture, Play, Probabilities, Verdict
from modelyard.tasks.images.request_image import png_base64
from modelyard.tasks.images.strangers import blank_pictures
from pipelines.image_classification.data import FORMAT
from pipelines.image_classification.serve import UNKNOWN, UNSURE
from pipelines.image_classification.simulator import CLASSES, STRANGER, SimulationParameters, simulate


def examples() -> list[Example]:
    """Returns two simulated figures, a stranger, and a picture of nothing."""
    rows, pictures = simulate(SimulationParameters(n_pictures=60))
    labels = rows["label"].to_list()
    shown = [
        (name, f"Drawn as '{name}'; a model of another data set sees a stranger.", pictures[labels.index(name)])
        for name in (CLASSES[2], CLASSES[1])
    ]
    shown.append(("A cross or clutter", "None of the classes was drawn here.", pictures[labels.index(STRANGER)]))
    nothing = blank_pictures(2, FORMAT.shape, "plain")[0]
    shown.append(("Nothing at all", "A sure answer would be a wrong one.", nothing))
    return [
        Example(title=title.capitalize(), sentence=sentence, request={"image": png_base64(pixels), "explain": True})
        for title, sentence, pixels in shown
    ]


PLAY = Play(
    question="What is on this picture, how sure is the model, and is it anything that the model knows?",
    inputs=[
        Picture(
            field="image",
            label="Picture",
            help="Its central square is brought to 32 x 32 pixels, as in training.",
            width=512,
            height=512,
        )
    ],
    outputs=[
        Verdict(field="answer", label="Answer", tones={UNSURE: "unsure", UNKNOWN: "bad"}),
        Probabilities(field="probabilities", label="Probabilities", most=3),
        Measure(field="confidence", label="Confidence in the likeliest class"),
        HeatMap(
            field="heat_map",
            label="What speaks for the likeliest class",
            help="Grad-CAM, the mean of the networks.",
            picture_field="image",
            is_centred=True,
        ),
    ],
    examples=examples,
    meaning="Share of the pictures that get the right class; with ten classes chance gets 0.1, and 0.9 is good.",
    caution="A picture of something else than the trained classes may still look like one of them.",
    picture="corruptions",
)
"""What the page shows."""
