"""Small pictures of anything: which class is it, how sure is the model, and when is it none of them?"""

from pipelines.image_classification.pipeline import create_pipeline

__all__ = ["create_pipeline"]
