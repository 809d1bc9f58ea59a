"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project
from pipelines.climate_pattern_recognition.data import CONTRACT, expectations, ingest
from pipelines.climate_pattern_recognition.evaluate import floor, predict, score
from pipelines.climate_pattern_recognition.features import FEATURE_VIEWS, derive_features
from pipelines.climate_pattern_recognition.figures import figures
from pipelines.climate_pattern_recognition.model import load, save
from pipelines.climate_pattern_recognition.play import PLAY
from pipelines.climate_pattern_recognition.serve import EXAMPLE, ForecastRequest, ForecastResponse, decode, encode
from pipelines.climate_pattern_recognition.train import fit, search_space

PROJECT = Project(
    name="climate_pattern_recognition",
    title="El Niño and Madden-Julian forecasts",
    contract=CONTRACT,
    ingest=ingest,
    expectations=expectations,
    feature_views=FEATURE_VIEWS,
    derive_features=derive_features,
    fit=fit,
    search_space=search_space,
    model_format=ModelFormat(save=save, load=load),
    predict=predict,
    metrics=Metrics(score=score, primary="crps_skill", greater_is_better=True, floor=floor, slices=("lead_count",)),
    figures=figures,
    api=Api(request=ForecastRequest, response=ForecastResponse, decode=decode, encode=encode, example=EXAMPLE),
    schedule="0 6 10 * *",  # the 10th of each month at 6:00 UTC: the month before has been published
    play=PLAY,
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
