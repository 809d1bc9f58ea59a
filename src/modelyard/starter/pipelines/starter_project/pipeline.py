"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project

from .data import CONTRACT, expectations, ingest
from .evaluate import figures, floor, predict, score
from .features import FEATURE_VIEWS, derive_features
from .model import load, save
from .serve import EXAMPLE, PartReadings, Risk, decode, encode
from .train import fit, search_space

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
    metrics=Metrics(score=score, primary="roc_auc", greater_is_better=True, floor=floor),
    figures=figures,
    api=Api(request=PartReadings, response=Risk, decode=decode, encode=encode, example=EXAMPLE),
    schedule="0 5 * * 1",  # Mondays at 5:00 UTC, after the week's readings
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
