"""House prices: what is this home worth, in which range, and where is it a guess?"""

from pipelines.house_price_prediction.pipeline import create_pipeline

__all__ = ["create_pipeline"]
