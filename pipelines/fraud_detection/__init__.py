"""Card fraud: which transactions should a person look at?"""

from pipelines.fraud_detection.pipeline import create_pipeline

__all__ = ["create_pipeline"]
