"""Stock market: will a stock rise on the next day, how volatile will it be, and is that better than chance?"""

from pipelines.stock_market_prediction.pipeline import create_pipeline

__all__ = ["create_pipeline"]
