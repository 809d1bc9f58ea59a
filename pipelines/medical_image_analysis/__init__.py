"""Chest radiographs: pneumonia, not pneumonia, or not sure enough to say."""

from pipelines.medical_image_analysis.pipeline import create_pipeline

__all__ = ["create_pipeline"]
