"""Polyphonic music: how probable is a piece, and how does it go on?"""

from pipelines.music_generation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
