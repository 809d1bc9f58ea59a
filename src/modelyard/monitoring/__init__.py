"""Monitoring of a registered model: compares served rows with the reference stored with its version."""
