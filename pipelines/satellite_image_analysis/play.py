"""The page: a tile before the model, its answer, and where the networks look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modelyard.play.description import Example, HeatMap, Measure, Picture, Play, Probability, Verdict
from modelyard.tasks.images.request_image import png_base64
from pipelines.satellite_image_analysis.simulator import SIDE, SimulationParameters, simulate

_SIMULATION = SimulationParameters(seed=3, n_tiles=40)


def examples() -> list[Example]:
    """Returns simulated tiles: a house in the flood, a dry one, a doubtful one; and open water without a house."""
    rows, tiles = simulate(_SIMULATION)
    risk = rows["true_risk"].to_numpy()
    return [
        _example("A house in the flood", "Muddy water and debris around a simulated house.", tiles[risk.argmax()]),
        _example("A dry house", "Grass, a road, roofs: the storm has passed this one by.", tiles[risk.argmin()]),
        _example(
            "A doubtful one",
            "Some water or some debris; inspectors call one in two of these damaged.",
            tiles[np.abs(risk - 0.5).argmin()],
        ),
        _example("Open water", "No house at all: the model has never seen such a tile, and answers.", _open_water()),
    ]


def _example(title: str, sentence: str, tile: NDArray[np.uint8]) -> Example:
    return Example(title=title, sentence=sentence, request={"image": png_base64(tile), "explain": True})


def _open_water() -> NDArray[np.uint8]:
    """Waves that run across, blue and green, shape (128, 128, 3)."""
    across = np.arange(SIDE)
    waves = np.sin(across[:, None] / 5 + across[None, :] / 17)[..., None]
    tile: NDArray[np.uint8] = np.clip(np.array([40, 80, 110]) + 12 * waves, 0, 255).astype(np.uint8)
    return tile


PLAY = Play(
    question="Has the storm damaged the building in the middle of this tile?",
    inputs=[
        Picture(
            field="image",
            label="Tile from above",
            help="128 x 128 pixels in colour, about 70 m on each side, the building in the middle.",
            width=SIDE,
            height=SIDE,
            is_exact=True,
            has_camera=False,
        ),
    ],
    outputs=[
        Verdict(
            field="answer",
            label="Answer",
            tones={"damaged": "bad", "not damaged": "good", "look yourself": "unsure"},
            names={"damaged": "Damaged", "not damaged": "Not damaged", "look yourself": "Unsure: look yourself"},
        ),
        Probability(
            field="damage_probability",
            label="Probability of damage",
            help="Calibrated: of 100 buildings with 70 %, about 70 are damaged.",
        ),
        HeatMap(
            field="heat_map",
            label="What speaks for damage",
            help="Grad-CAM, the mean of the networks.",
            picture_field="image",
        ),
        Measure(
            field="disagreement",
            label="Disagreement of the networks",
            help="Standard deviation of their own probabilities.",
            decimals=3,
        ),
    ],
    examples=examples,
    meaning="Share of the buildings that are called right; always saying the same gets 0.5, and 0.95 is good.",
    caution="It knows one coast after one storm; elsewhere water and debris look different.",
    picture="grad_cam",
)
"""The page of the project."""
