"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project
from pipelines.fraud_detection.data import CONTRACT, expectations, ingest
from pipelines.fraud_detection.evaluate import floor, predict, score
from pipelines.fraud_detection.features import FEATURE_VIEWS, derive_features
from pipelines.fraud_detection.figures import figures
from pipelines.fraud_detection.model import load, save
from pipelines.fraud_detection.play import PLAY
from pipelines.fraud_detection.serve import EXAMPLE, FraudRequest, FraudResponse, decode, encode
from pipelines.fraud_detection.train import fit, search_space

PROJECT = Project(
    name="fraud_detection",
    title="Card fraud detection",
    contract=CONTRACT,
    ingest=ingest,
    expectations=expectations,
    feature_views=FEATURE_VIEWS,
    derive_features=derive_features,
    fit=fit,
    search_space=search_space,
    model_format=ModelFormat(save=save, load=load),
    predict=predict,
    metrics=Metrics(score=score, primary="average_precision", greater_is_better=True, floor=floor),
    figures=figures,
    api=Api(request=FraudRequest, response=FraudResponse, decode=decode, encode=encode, example=EXAMPLE),
    schedule="0 4 * * 1",  # Mondays at 4:00 UTC: a week's labels have arrived
    play=PLAY,
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
