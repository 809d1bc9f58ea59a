"""Watching a registered model: what was served beside the reference that its version carries."""
