"""Tracking: a journal of events, and the process that copies it to MLflow."""
