"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project
from modelyard.tasks.ensemble import save_ensemble
from modelyard.tasks.images.binary_classifier import search_space
from modelyard.tasks.images.request_image import pixel_budget
from pipelines.satellite_image_analysis.data import CONTRACT, FORMAT, expectations, ingest
from pipelines.satellite_image_analysis.evaluate import floor, predict, score
from pipelines.satellite_image_analysis.figures import figures
from pipelines.satellite_image_analysis.model import load
from pipelines.satellite_image_analysis.play import PLAY
from pipelines.satellite_image_analysis.serve import EXAMPLE, TileRequest, TileResponse, answer, decode, encode
from pipelines.satellite_image_analysis.train import fit

PROJECT = Project(
    name="satellite_image_analysis",
    title="Storm damage on satellite tiles",
    contract=CONTRACT,
    ingest=ingest,
    expectations=expectations,
    fit=fit,
    search_space=search_space,
    model_format=ModelFormat(save=save_ensemble, load=load),
    predict=predict,
    metrics=Metrics(
        score=score, primary="accuracy", greater_is_better=True, floor=floor, slices=("region_id", "is_new_place")
    ),
    figures=figures,
    api=Api(
        request=TileRequest,
        response=TileResponse,
        decode=decode,
        answer=answer,
        encode=encode,
        example=EXAMPLE,
        budget=pixel_budget(FORMAT.max_pixels),
    ),
    schedule="0 2 * 6-11 *",  # every night at 2:00 UTC of the hurricane season, June to November
    play=PLAY,
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
