"""Climate patterns: where will El Niño and the Madden-Julian Oscillation be, and how sure is that?"""

from pipelines.climate_pattern_recognition.pipeline import create_pipeline

__all__ = ["create_pipeline"]
