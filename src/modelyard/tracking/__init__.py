"""Tracking: a journal of events, and the process that brings it to MLflow."""
