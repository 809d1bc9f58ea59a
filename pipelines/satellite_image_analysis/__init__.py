"""Satellite tiles after a storm: which buildings are damaged, and which should somebody look at?"""

from pipelines.satellite_image_analysis.pipeline import create_pipeline

__all__ = ["create_pipeline"]
