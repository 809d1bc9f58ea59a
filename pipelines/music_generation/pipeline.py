"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project
from pipelines.music_generation.data import CONTRACT, expectations, ingest
from pipelines.music_generation.evaluate import floor, predict, score
from pipelines.music_generation.figures import figures
from pipelines.music_generation.model import load, save
from pipelines.music_generation.play import PLAY
from pipelines.music_generation.serve import EXAMPLE, MusicRequest, MusicResponse, answer, decode, encode, stream
from pipelines.music_generation.train import fit, search_space

PROJECT = Project(
    name="music_generation",
    title="Polyphonic music",
    contract=CONTRACT,
    ingest=ingest,
    expectations=expectations,
    fit=fit,
    search_space=search_space,
    model_format=ModelFormat(save=save, load=load),
    predict=predict,
    metrics=Metrics(
        score=score,
        primary="nll_per_frame",
        greater_is_better=False,
        floor=floor,
        slices=("collection_id", "is_minor"),
    ),
    figures=figures,
    api=Api(
        request=MusicRequest,
        response=MusicResponse,
        decode=decode,
        encode=encode,
        example=EXAMPLE,
        answer=answer,
        timeout_s=60,  # a row of 1,000 frames takes about 3 s on two cores
        max_rows=8,
        stream=stream,
    ),
    schedule="0 4 1 * *",  # the first of each month at 4:00 UTC, for the pieces of the month before
    play=PLAY,
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
