"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project
from pipelines.house_price_prediction.data import CONTRACT, expectations, ingest
from pipelines.house_price_prediction.evaluate import floor, predict, score
from pipelines.house_price_prediction.figures import figures
from pipelines.house_price_prediction.model import load, save
from pipelines.house_price_prediction.play import PLAY
from pipelines.house_price_prediction.serve import EXAMPLE, HouseRequest, HouseResponse, answer, decode, encode
from pipelines.house_price_prediction.train import fit, search_space

PROJECT = Project(
    name="house_price_prediction",
    title="House prices",
    contract=CONTRACT,
    ingest=ingest,
    expectations=expectations,
    fit=fit,
    search_space=search_space,
    model_format=ModelFormat(save=save, load=load),
    predict=predict,
    metrics=Metrics(
        score=score,
        primary="root_mean_squared_error",
        greater_is_better=False,
        floor=floor,
        slices=("ocean_proximity", "building_type", "sale_condition"),
    ),
    figures=figures,
    api=Api(
        request=HouseRequest,
        response=HouseResponse,
        decode=decode,
        encode=encode,
        example=EXAMPLE,
        answer=answer,
        max_rows=200,  # reasons of a row take about ten milliseconds
    ),
    play=PLAY,
    schedule="0 5 1 * *",  # on the first of each month at 5:00 UTC: a month's sales are registered
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
