"""Digits as people write and draw them: which number is this, and is it one at all?"""

from pipelines.handwritten_digit_recognition.pipeline import create_pipeline

__all__ = ["create_pipeline"]
