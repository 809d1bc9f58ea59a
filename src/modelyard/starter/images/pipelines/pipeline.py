"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project
from modelyard.tasks.images.request_image import pixel_budget
from pipelines.starter_project.data import CONTRACT, FORMAT, expectations, ingest
from pipelines.starter_project.evaluate import floor, predict, score
from pipelines.starter_project.figures import figures
from pipelines.starter_project.model import load, save
from pipelines.starter_project.play import PLAY
from pipelines.starter_project.serve import EXAMPLE, PartRequest, PartResponse, decode, encode
from pipelines.starter_project.train import fit, search_space

PROJECT = Project(
    name="starter_project",
    title="Starter project",
    contract=CONTRACT,
    ingest=ingest,
    expectations=expectations,
    fit=fit,
    search_space=search_space,
    model_format=ModelFormat(save=save, load=load),
    predict=predict,
    metrics=Metrics(score=score, primary="roc_auc", greater_is_better=True, floor=floor),
    figures=figures,
    api=Api(
        request=PartRequest,
        response=PartResponse,
        decode=decode,
        encode=encode,
        example=EXAMPLE,
        budget=pixel_budget(FORMAT.max_pixels),
    ),
    schedule="0 5 * * 1",  # Mondays at 5:00 UTC, after the week's readings
    play=PLAY,
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
