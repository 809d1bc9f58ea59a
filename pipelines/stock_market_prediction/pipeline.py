"""Wires the project: its record, and the pipeline that the lifecycle makes of it."""

from kedro.pipeline import Pipeline

from modelyard.lifecycle import assemble
from modelyard.project import Api, Metrics, ModelFormat, Project
from pipelines.stock_market_prediction.data import CONTRACT, expectations, ingest
from pipelines.stock_market_prediction.evaluate import floor, gate, once, predict, score
from pipelines.stock_market_prediction.features import FEATURE_VIEWS, derive_features
from pipelines.stock_market_prediction.figures import figures
from pipelines.stock_market_prediction.model import load, save
from pipelines.stock_market_prediction.play import PLAY
from pipelines.stock_market_prediction.serve import EXAMPLE, StockRequest, StockResponse, decode, encode
from pipelines.stock_market_prediction.train import fit, search_space

PROJECT = Project(
    name="stock_market_prediction",
    title="Stock market prediction",
    contract=CONTRACT,
    ingest=ingest,
    expectations=expectations,
    feature_views=FEATURE_VIEWS,
    derive_features=derive_features,
    fit=fit,
    search_space=search_space,
    model_format=ModelFormat(save=save, load=load),
    predict=predict,
    metrics=Metrics(
        score=score, once=once, primary="matthews_corrcoef", greater_is_better=True, floor=floor, slices=("sector",)
    ),
    figures=figures,
    api=Api(request=StockRequest, response=StockResponse, decode=decode, encode=encode, example=EXAMPLE),
    gate=gate,
    schedule="30 23 * * 5",  # Fridays at 23:30 UTC: the week's last close is known
    play=PLAY,
)


def create_pipeline() -> Pipeline:
    """The project's lifecycle, from ingestion to a registered version."""
    return assemble(PROJECT)
