"""The page: a radiograph before the model, the three answers, and where the networks look."""

from __future__ import annotations

import numpy as np

from modelyard.play.description import Example, HeatMap, Measure, Picture, Play, Probability, Verdict
from modelyard.tasks.images.request_image import png_base64
from pipelines.medical_image_analysis.data import FORMAT
from pipelines.medical_image_analysis.simulator import SimulationParameters, simulate

_SEED, _N_EXAMS = 7, 60


def examples() -> list[Example]:
    """Returns a sick, a healthy and a doubtful simulated chest, and a picture of none."""
    rows, pictures = simulate(SimulationParameters(seed=_SEED, n_exams=_N_EXAMS))
    risk, is_ill = rows["true_risk"].to_numpy(), rows["is_pneumonia"].to_numpy()
    chosen = {
        "Clouded lungs": int(np.where(is_ill, risk, 0).argmax()),
        "Clear lungs": int(np.where(is_ill, 1, risk).argmin()),
        "A doubtful case": int(np.abs(risk - 0.5).argmin()),
    }
    sentences = (
        "A simulated chest whose later culture said pneumonia.",
        "A simulated chest whose later culture said nothing.",
        "A simulated chest with a few faint clouds: one in two such patients is ill.",
    )
    shown = dict(zip(chosen, (pictures[row] for row in chosen.values()), strict=True))
    stripes = np.tile(np.linspace(0, 255, FORMAT.side).astype(np.uint8), (FORMAT.side, 1))
    return [
        *(
            Example(title=title, sentence=sentence, request=_request(png_base64(picture)))
            for (title, picture), sentence in zip(shown.items(), sentences, strict=True)
        ),
        Example(
            title="No chest at all",
            sentence="A grey wedge: the model was never shown anything but chests, and answers all the same.",
            request=_request(png_base64(stripes)),
        ),
    ]


def _request(image: str) -> dict[str, object]:
    return {"image": image, "explain": True}


PLAY = Play(
    question="Does this chest radiograph show a pneumonia, or should a person look?",
    inputs=[
        Picture(
            field="image",
            label="Chest radiograph",
            help="Grey, at least 28 x 28 pixels; the model sees its central square, shrunk to 28 x 28.",
            width=512,
            height=512,
            is_grey=True,
        ),
    ],
    outputs=[
        Verdict(
            field="answer",
            label="Answer",
            tones={"pneumonia": "bad", "no pneumonia": "good", "ask a person": "unsure"},
            names={"pneumonia": "Pneumonia", "no pneumonia": "No pneumonia", "ask a person": "Unsure: ask a person"},
        ),
        Probability(
            field="pneumonia_probability",
            label="Probability of pneumonia",
            help="Calibrated: of 100 exams with 70 %, about 70 are ill.",
        ),
        HeatMap(
            field="heat_map",
            label="What speaks for pneumonia",
            help="Grad-CAM, the mean of the networks.",
            picture_field="image",
            is_centred=True,
        ),
        Measure(
            field="disagreement",
            label="Disagreement of the networks",
            help="Standard deviation of their own probabilities.",
            decimals=3,
        ),
    ],
    examples=examples,
    meaning="How often an ill patient's exam is ranked above a healthy one's: 0.5 is chance, 0.95 and more is good.",
    caution="No medical device: nothing it says is a diagnosis.",
    picture="grad_cam",
)
"""The page of the project."""
