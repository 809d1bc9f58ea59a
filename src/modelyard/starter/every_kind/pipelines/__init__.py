"""Starter project."""

from pipelines.starter_project.pipeline import create_pipeline

__all__ = ["create_pipeline"]
