"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project
from modelyard.tasks.ensemble import save_ensemble
from modelyard.tasks.images.binary_classifier import search_space
from modelyard.tasks.images.request_image import pixel_budget
from pipelines.medical_image_analysis.data import CONTRACT, FORMAT, expectations, ingest
from pipelines.medical_image_analysis.evaluate import floor, predict, score
from pipelines.medical_image_analysis.figures import figures
from pipelines.medical_image_analysis.model import load
from pipelines.medical_image_analysis.play import PLAY
from pipelines.medical_image_analysis.serve import EXAMPLE, ExamRequest, ExamResponse, answer, decode, encode
from pipelines.medical_image_analysis.train import fit

PROJECT = Project(
    name="medical_image_analysis",
    title="Pneumonia on chest radiographs",
    contract=CONTRACT,
    ingest=ingest,
    expectations=expectations,
    fit=fit,
    search_space=search_space,
    model_format=ModelFormat(save=save_ensemble, load=load),
    predict=predict,
    metrics=Metrics(score=score, primary="roc_auc", greater_is_better=True, floor=floor, slices=("scanner_id",)),
    figures=figures,
    api=Api(
        request=ExamRequest,
        response=ExamResponse,
        decode=decode,
        answer=answer,
        encode=encode,
        example=EXAMPLE,
        budget=pixel_budget(FORMAT.max_pixels),
    ),
    schedule="0 3 1 * *",  # the first of each month at 3:00 UTC: cultures of the month before are back
    play=PLAY,
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
