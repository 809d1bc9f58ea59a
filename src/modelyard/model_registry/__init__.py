"""Versions in MLflow's model registry: files, aliases, promotion."""
