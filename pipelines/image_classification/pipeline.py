"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project
from modelyard.tasks.ensemble import save_ensemble
from modelyard.tasks.images.multiclass_classifier import search_space
from modelyard.tasks.images.request_image import pixel_budget
from pipelines.image_classification.data import CONTRACT, FORMAT, expectations, ingest
from pipelines.image_classification.evaluate import floor, predict, score
from pipelines.image_classification.figures import figures
from pipelines.image_classification.model import load
from pipelines.image_classification.play import PLAY
from pipelines.image_classification.serve import (
    EXAMPLE,
    MAX_ROWS,
    PictureRequest,
    PictureResponse,
    answered,
    decode,
    encode,
)
from pipelines.image_classification.train import fit

PROJECT = Project(
    name="image_classification",
    title="Small pictures of everything",
    contract=CONTRACT,
    ingest=ingest,
    expectations=expectations,
    fit=fit,
    search_space=search_space,
    model_format=ModelFormat(save=save_ensemble, load=load),
    predict=predict,
    metrics=Metrics(score=score, primary="accuracy", greater_is_better=True, floor=floor, slices=("label",)),
    figures=figures,
    api=Api(
        request=PictureRequest,
        response=PictureResponse,
        decode=decode,
        encode=encode,
        example=EXAMPLE,
        answer=answered,
        max_rows=MAX_ROWS,
        budget=pixel_budget(FORMAT.max_pixels),
    ),
    schedule="0 3 * * 1",  # Mondays at 3:00 UTC, with the labels that people gave during the week
    play=PLAY,
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
