"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project
from pipelines.starter_project.data import CONTRACT, expectations, ingest
from pipelines.starter_project.evaluate import floor, predict, score
from pipelines.starter_project.features import FEATURE_VIEWS, derive_features
from pipelines.starter_project.figures import figures
from pipelines.starter_project.model import load, save
from pipelines.starter_project.play import PLAY
from pipelines.starter_project.serve import EXAMPLE, ForecastRequest, ForecastResponse, decode, encode
from pipelines.starter_project.train import fit, search_space

PROJECT = Project(
    name="starter_project",
    title="Starter project",
    contract=CONTRACT,
    ingest=ingest,
    expectations=expectations,
    feature_views=FEATURE_VIEWS,
    derive_features=derive_features,
    fit=fit,
    search_space=search_space,
    model_format=ModelFormat(save=save, load=load),
    predict=predict,
    metrics=Metrics(score=score, primary="mean_pinball_loss", greater_is_better=False, floor=floor),
    figures=figures,
    api=Api(request=ForecastRequest, response=ForecastResponse, decode=decode, encode=encode, example=EXAMPLE),
    schedule="0 5 * * *",  # every day at 5:00 UTC, when yesterday is complete
    play=PLAY,
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
