"""Starter project: will a machine part fail within a week?"""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
