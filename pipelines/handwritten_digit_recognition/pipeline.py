"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Budget, Metrics, ModelFormat, Project
from modelyard.tasks.ensemble import save_ensemble
from modelyard.tasks.images.multiclass_classifier import search_space
from pipelines.handwritten_digit_recognition.data import CONTRACT, expectations, ingest
from pipelines.handwritten_digit_recognition.evaluate import floor, predict, score
from pipelines.handwritten_digit_recognition.figures import figures
from pipelines.handwritten_digit_recognition.model import load
from pipelines.handwritten_digit_recognition.play import PLAY
from pipelines.handwritten_digit_recognition.preparation import FORMAT
from pipelines.handwritten_digit_recognition.serve import (
    EXAMPLE,
    MAX_ROWS,
    DigitRequest,
    DigitResponse,
    answered,
    decode,
    encode,
    work,
)
from pipelines.handwritten_digit_recognition.train import fit

PROJECT = Project(
    name="handwritten_digit_recognition",
    title="Digits as people draw them",
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
        request=DigitRequest,
        response=DigitResponse,
        decode=decode,
        encode=encode,
        example=EXAMPLE,
        answer=answered,
        max_rows=MAX_ROWS,
        budget=Budget(of=work, most=FORMAT.max_pixels, unit="pixels"),
    ),
    schedule="0 3 1 * *",  # the first of each month at 3:00 UTC: hands change slowly
    play=PLAY,
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
